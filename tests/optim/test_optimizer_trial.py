"""Optimizers are tried on copies: the net, its gradients and the random numbers of the run do not notice."""

from functools import partial
from typing import Any

import pytest
import timm.optim
import torch
from tiny_training import Groups, tiny_fit, tiny_net
from torch import nn

from cnnkit import ClassificationTask
from cnnkit.errors import UserError
from cnnkit.optim import TimmOptimizer, build_optimizer, parameter_groups


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("cls", [torch.optim.Adam, timm.optim.AdamP, torch.optim.LBFGS, timm.optim.Adahessian])
def test_the_trial_leaves_no_trace(cls: Any) -> None:
    model, state = net(), torch.get_rng_state()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer, contiguous = build_optimizer(cls, parameter_groups(model))
    assert all(torch.equal(p, old) and p.grad is None for p, old in zip(model.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any("exp_avg" in state for state in optimizer.state.values())
    assert contiguous == (cls is torch.optim.LBFGS)
    assert not model[0].weight.is_contiguous()


def test_weights_leave_channels_last_for_lbfgs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    task = ClassificationTask(tiny_net(), partial(torch.optim.LBFGS, lr=0.1, max_iter=2))
    tiny_fit(task, max_epochs=1)
    assert all(p.is_contiguous() for p in task.net.parameters())
    assert "note: LBFGS needs contiguous weights: they leave channels_last" in capsys.readouterr().err
    other = ClassificationTask(tiny_net(), torch.optim.SGD)
    tiny_fit(other, max_epochs=1)
    assert not all(p.is_contiguous() for p in other.net.parameters())


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        partial(torch.optim.SGD, lr=0.25),
        lambda groups: torch.optim.SGD(groups, lr=0.25),
        lambda groups, **options: torch.optim.SGD(groups, lr=0.25, **options),
        lambda groups: timm.optim.Lookahead(torch.optim.SGD(groups, lr=0.25), k=2),
        partial(TimmOptimizer, name="sgdw", lr=0.25),
    ],
)
def test_an_optimizer_from_python(optimizer: Any) -> None:
    model, groups = tiny_net(), Groups()
    before = [p.detach().clone() for p in model.parameters()]
    tiny_fit(ClassificationTask(model, optimizer), groups, max_epochs=1)
    assert set(groups.rates) == {1e-3 if optimizer is torch.optim.SGD else 0.25}
    assert all(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_a_function_that_takes_its_parameters_elsewhere_is_not_tried() -> None:
    model = net()
    optimizer, _ = build_optimizer(lambda groups: torch.optim.SGD(model.parameters()), parameter_groups(model))
    assert all(p.grad is None for p in model.parameters())
    assert len(optimizer.param_groups[0]["params"]) == 4


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (partial(torch.optim.SGD, lr=0.1, momentum=-1.0), r"model\.optimizer\.momentum is -1.0, which SGD refuses"),
        (partial(torch.optim.Adam, betas=(2.0, 0.9), lr=0.1), r"model\.optimizer\.betas is \(2.0, 0.9\), which Adam"),
        (partial(torch.optim.SGD, rate=0.1), r"model\.optimizer\.rate is 0.1, which SGD refuses: .*unexpected keyword"),
        (
            lambda groups: torch.optim.SGD(groups, lr=-1),
            r"model\.optimizer: <lambda> refuses its arg",
        ),
    ],
)
def test_a_refusal_names_the_argument(optimizer: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_optimizer(optimizer, parameter_groups(net()))
