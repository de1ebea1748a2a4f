"""MuonSGD: filters against a singular value decomposition, all others against torch's SGD."""

import math

import pytest
import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.optim import MuonSGD
from cnnkit.optim.muon import orthogonalize


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 16, 4))


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(5, 3, 6, 6, generator=generator)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (16, 16)])
def test_orthogonalize_keeps_singular_vectors_and_evens_the_values(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    # In the basis of the singular vectors the result is diagonal, with values of about 1.
    inner = u.T @ orthogonalize(matrix, 8).float() @ v.T
    assert inner.diagonal().min() > 0.6
    assert inner.diagonal().max() < 1.3
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 0.1


def test_scale_of_the_gradient_does_not_matter():
    matrix = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonalize(matrix, 3), orthogonalize(matrix * 1024, 3))


def test_a_step_of_filters_turns_them_by_the_rate_and_resets_their_length():
    net = small_net()
    optimizer = MuonSGD(net.parameters(), lr=0.1, momentum=0.0, ns_steps=10)
    before = net[0].weight.detach().clone()
    train(net, optimizer, 1)
    scaled = before * (math.sqrt(8) / before.norm())
    moved = ((net[0].weight.detach() - scaled) / -0.1).flatten(1)
    u, _, v = torch.linalg.svd(net[0].weight.grad.flatten(1), full_matrices=False)
    inner = u.T @ moved @ v.T
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), rtol=0, atol=0.1)
    assert inner.diagonal().min() > 0.5
    assert inner.diagonal().max() < 1.4


def test_all_other_parameters_follow_torch_sgd():
    ours, reference = small_net(), small_net()
    for net in (ours, reference):
        net[0].weight.requires_grad_(False)
    groups = [
        {"params": [reference[3].weight], "lr": 0.03},
        {"params": [reference[0].bias, *reference[1].parameters(), reference[3].bias], "lr": 0.07},
    ]
    sgd = torch.optim.SGD(groups, momentum=0.85, nesterov=True, weight_decay=0.01)
    trained = [p for p in ours.parameters() if p.requires_grad]
    train(ours, MuonSGD(trained, matrix_lr=0.03, vector_lr=0.07, sgd_momentum=0.85, weight_decay=0.01), 4)
    train(reference, sgd, 4)
    torch.testing.assert_close(ours.state_dict(), reference.state_dict(), rtol=1e-5, atol=1e-6)


def test_a_saved_state_goes_on_as_if_nothing_had_happened():
    straight, resumed = small_net(), small_net()
    train(straight, optimizer := MuonSGD(straight.parameters()), 2)
    train(resumed, first := MuonSGD(resumed.parameters()), 2)
    second = MuonSGD(resumed.parameters())
    second.load_state_dict(first.state_dict())
    train(straight, optimizer, 2, seed=1)
    train(resumed, second, 2, seed=1)
    torch.testing.assert_close(resumed.state_dict(), straight.state_dict(), rtol=0, atol=0)


def test_a_schedule_moves_all_rates_in_proportion():
    optimizer = MuonSGD(small_net().parameters(), lr=0.2, matrix_lr=0.1, vector_lr=4.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.5, 1)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05, 2.0]


@pytest.mark.parametrize("wrong", [{"lr": -1}, {"vector_lr": math.nan}, {"ns_steps": 0}, {"momentum": 1}])
def test_a_value_out_of_range_is_named(wrong):
    with pytest.raises(UserError, match=f"model.optimizer.{next(iter(wrong))} is"):
        MuonSGD(small_net().parameters(), **wrong)
