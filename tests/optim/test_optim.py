import copy
import io
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from cnnkit.errors import UserError
from cnnkit.optim import (
    TriangleLR,
    WarmupCosineLR,
    fused_if_possible,
    parameter_groups,
    plan_schedule,
)


class Tied(nn.Module):
    """A net with a shared weight, a norm, and a frozen layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


@pytest.mark.parametrize("decay_norm_and_bias", [True, False])
def test_groups_hold_every_trained_parameter_once(decay_norm_and_bias):
    net = Tied()
    groups = parameter_groups(net, decay_norm_and_bias)
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in net.parameters()} - {id(p) for p in net.frozen.parameters()}


def test_norms_and_biases_are_spared_when_asked():
    net = Tied()
    decay, spared = torch.optim.AdamW(parameter_groups(net, False), weight_decay=0.1).param_groups
    assert (decay["name"], decay["weight_decay"]) == ("decay", 0.1)
    assert (spared["name"], spared["weight_decay"]) == ("no_decay", 0.0)
    assert {id(p) for p in decay["params"]} == {id(net.first.weight), id(net.conv.weight)}
    biases = [net.first.bias, net.second.bias, net.conv.bias, net.norm.weight, net.norm.bias]
    assert {id(p) for p in spared["params"]} == {id(p) for p in biases}


def test_without_a_gradient_only_the_decay_group_shrinks():
    net = nn.Linear(3, 3)
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(parameter_groups(net, decay_norm_and_bias=False), lr=0.1, weight_decay=0.5)
    net.weight.grad, net.bias.grad = torch.zeros_like(net.weight), torch.zeros_like(net.bias)
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(net.bias, before["bias"])


def rates(build, steps, lr=2.0):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = build(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_after_its_warmup_the_cosine_is_torchs():
    seen = rates(lambda optimizer: WarmupCosineLR(optimizer, 100, warmup=0.1, final=0.01), 101)
    torch_seen = rates(lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=90, eta_min=0.02), 91)
    assert seen[:10] == pytest.approx([2 * (step + 1) / 11 for step in range(10)])
    assert seen[10:] == pytest.approx(torch_seen)


def test_the_triangle_is_an_interpolation():
    seen = rates(lambda optimizer: TriangleLR(optimizer, 476, peak=0.23, start=0.2, final=0.07), 477)
    corners = torch.tensor([0.2, 1.0, 0.07]) * 2
    assert (seen[0], max(seen), seen[-1]) == pytest.approx(tuple(corners.tolist()))
    assert seen.index(max(seen)) == 109, "airbench94 peaks at step int(0.23 * 476)"
    up, down = torch.linspace(0.4, 2.0, 110), torch.linspace(2.0, 0.14, 368)
    torch.testing.assert_close(torch.tensor(seen), torch.cat([up, down[1:]]))


@pytest.mark.parametrize("total_steps", [1, 2, 7])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["warmup", "peak"])
def test_schedules_of_any_length_stay_between_their_bounds(name, part, total_steps):
    cls = {"warmup": WarmupCosineLR, "peak": TriangleLR}[name]
    seen = rates(lambda optimizer: cls(optimizer, total_steps, **{name: part}, final=0.1), 2 * total_steps + 2)
    assert all(0.1 * 2.0 - 1e-9 <= rate <= 2.0 + 1e-9 for rate in seen)
    assert seen[0] > 0, "the first step must train"
    assert seen[-1] == pytest.approx(0.2), "and after the end it stays there"


@pytest.mark.parametrize("cls", [WarmupCosineLR, TriangleLR])
def test_a_schedule_resumes_from_a_safe_checkpoint(cls):
    def start():
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
        return optimizer, cls(optimizer, total_steps=20)

    def advance(optimizer, scheduler, steps):
        seen = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            seen.append(scheduler.get_last_lr()[0])
        return seen

    optimizer, scheduler = start()
    advance(optimizer, scheduler, 8)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    expected = advance(optimizer, scheduler, 12)

    optimizer, scheduler = start()
    file.seek(0)
    checkpoint = torch.load(file, weights_only=True)
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    assert advance(optimizer, scheduler, 12) == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda optimizer: WarmupCosineLR(optimizer, 0), "total_steps is 0"),
        (lambda optimizer: WarmupCosineLR(optimizer, 10, warmup=5), "warmup is 5; give a part of the run"),
        (lambda optimizer: TriangleLR(optimizer, 10, peak=-1), "peak is -1"),
    ],
)
def test_impossible_schedules_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        rates(build, 1)


@pytest.mark.parametrize(
    ("scheduler", "argument"),
    [
        (lr_scheduler.CosineAnnealingLR, "T_max"),
        (lr_scheduler.OneCycleLR, "total_steps"),
        (lr_scheduler.PolynomialLR, "total_iters"),
        (lr_scheduler.LinearLR, None),
        (lr_scheduler.ConstantLR, None),
        (lr_scheduler.StepLR, None),
        (lr_scheduler.ReduceLROnPlateau, None),
        (WarmupCosineLR, "total_steps"),
        (TriangleLR, "total_steps"),
        (partial(lr_scheduler.CosineAnnealingLR, eta_min=0.1), "T_max"),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=3), None),
        (partial(lr_scheduler.OneCycleLR, max_lr=1.0, epochs=2, steps_per_epoch=5), None),
    ],
)
def test_which_argument_says_the_length(scheduler, argument):
    plan = plan_schedule(scheduler)
    assert (plan.argument if plan.fills else None) == argument


@pytest.mark.parametrize("cls", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad])
def test_fused_steps_equal_plain_ones_on_a_channels_last_net(cls):
    """The fused CPU kernels walk over raw memory: gradients and states must share the weights' strides."""

    def train(**options):
        torch.manual_seed(0)
        # No bias before the batch norm: its gradient is noise about 0, which Adam would blow up to full steps.
        conv = nn.Conv2d(3, 8, 3, bias=False)
        net = nn.Sequential(conv, nn.BatchNorm2d(8), nn.Conv2d(8, 4, 2), nn.Flatten(), nn.Linear(4, 2))
        net = net.to(memory_format=torch.channels_last)
        optimizer = cls(net.parameters(), lr=0.05, **options)
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(6, 3, 4, 4)).square().mean().backward()
            optimizer.step()
        return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])

    assert fused_if_possible(cls) == {"fused": True}
    torch.testing.assert_close(train(**fused_if_possible(cls)), train(foreach=False), rtol=1e-4, atol=1e-5)


def test_optimizers_without_a_fused_kernel_are_left_alone():
    assert fused_if_possible(torch.optim.RMSprop) == {}
