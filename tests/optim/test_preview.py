"""What a schedule will do to the rate is seen before training: refused if no run can want it, said if it is useless."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm.scheduler as timms
import torch
from small_runs import SMALL, Cli
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from cnnkit.errors import UserError
from cnnkit.optim import RunLength, TriangleLR, WarmupCosineLR, build_schedule
from cnnkit.optim.preview import MOST_MOVES, describe_useless, find_invalid_rate

RUN = RunLength(steps=120, epochs=10)


def optimizer_of_two_groups() -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 0.2)]
    return torch.optim.SGD(groups, lr=0.1)


def build(schedule: Callable[..., Any], **arguments: Any) -> Any:
    return build_schedule(partial(schedule, **arguments), optimizer_of_two_groups(), "auto", lambda: RUN)


@pytest.mark.parametrize(
    ("schedule", "arguments", "reason"),
    [
        (lr_scheduler.StepLR, {"step_size": -1}, "step_size is -1: StepLR counts and multiplies with it"),
        (lr_scheduler.StepLR, {"step_size": 0}, "step_size is 0, which StepLR refuses"),
        (lr_scheduler.StepLR, {"step_size": 3, "gamma": -0.5}, "gamma is -0.5: StepLR counts"),
        (lr_scheduler.CosineAnnealingLR, {"T_max": -5}, "T_max is -5: "),
        (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 0}, "T_0 is 0, which Cosine"),
        (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 3, "T_mult": 0}, "T_mult is 0, which Cosine"),
        (lr_scheduler.MultiStepLR, {"milestones": [6, 3]}, r"milestones is \[6, 3\]: give them in ascending order"),
        (lr_scheduler.MultiStepLR, {"milestones": [-1, 3]}, r"milestones is \[-1, 3\]: MultiStepLR counts"),
        (lr_scheduler.LinearLR, {"total_iters": -1}, "total_iters is -1: "),
        (lr_scheduler.ReduceLROnPlateau, {"patience": -1}, "patience is -1: "),
        (timms.StepLRScheduler, {"decay_t": 0}, "decay_t is 0, which StepLRScheduler refuses"),
        (timms.MultiStepLRScheduler, {"decay_t": [5, 2]}, r"decay_t is \[5, 2\]: give them in ascending order"),
        (timms.CosineLRScheduler, {"warmup_t": -2}, "warmup_t is -2: "),
        (WarmupCosineLR, {"warmup": 1.5}, "warmup is 1.5; give a part of the run"),
        (TriangleLR, {"final": -1}, "final is -1: "),
        (lr_scheduler.OneCycleLR, {}, "max_lr: is required and was not given; add --model"),
    ],
)
def test_an_argument_that_makes_no_sense(schedule: Any, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=rf"^model\.scheduler\.{reason}"):
        build(schedule, **arguments)


def test_a_negative_number_that_means_something_is_let_through() -> None:
    """The bounds of a hyperbolic tangent; -1 as the epoch before the first."""
    built = build(timms.TanhLRScheduler, lb=-7.0, ub=-1.0, t_initial=10)
    assert all(0 <= rate <= 0.2 for rates in built.rates(10) for rate in rates)
    assert build(lr_scheduler.StepLR, step_size=2, last_epoch=-1).facts["class"] == "StepLR"


def test_a_part_is_named() -> None:
    parts = [partial(lr_scheduler.StepLR, step_size=-1), lr_scheduler.CosineAnnealingLR]
    with pytest.raises(UserError, match=r"schedulers\[0\].step_size is -1: StepLR counts"):
        build(lr_scheduler.SequentialLR, schedulers=parts, milestones=[4])


class FallingLR(lr_scheduler.LRScheduler):
    """Of nobody that cnnkit knows: it may mean something by a negative number."""

    def __init__(self, optimizer: Optimizer, by: float = 0.01, offset: int = -1) -> None:
        self.by, self.offset = by, offset
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [rate - self.by * max(0, self.last_epoch + self.offset) for rate in self.base_lrs]


def test_a_rate_that_falls_below_zero_names_epoch_and_argument() -> None:
    assert build(FallingLR).rates(10)[-1] == pytest.approx([0.1 - 0.08, 0.2 - 0.08])
    with pytest.raises(UserError, match=r"model\.scheduler\.by is 0\.03: FallingLR .* -0.02 in epoch 6 of 10"):
        build(FallingLR, by=0.03).rates(10)
    with pytest.raises(UserError, match=r"model\.scheduler\.gamma is 1e\+200: ExponentialLR .* inf in epoch 3 of 10"):
        build(lr_scheduler.ExponentialLR, gamma=1e200).rates(10)


@pytest.mark.parametrize(
    ("schedule", "arguments", "said"),
    [
        (lr_scheduler.StepLR, {"step_size": 30}, "StepLR never changes the learning rate in this run of 10 epochs"),
        (lr_scheduler.LinearLR, {"total_iters": 50}, "LinearLR raises the learning rate to the very end of this run"),
        (lr_scheduler.ExponentialLR, {"gamma": 0.0}, "to 0 by epoch 1 of 10 epochs: the rest trains nothing"),
        (lr_scheduler.StepLR, {"step_size": 3}, ""),
        (lr_scheduler.LinearLR, {"total_iters": 3}, ""),
        (lr_scheduler.CosineAnnealingLR, {}, ""),
        (lr_scheduler.OneCycleLR, {"max_lr": 0.5}, ""),
        (timms.CosineLRScheduler, {"warmup_t": 2}, ""),
        (WarmupCosineLR, {}, ""),
    ],
)
def test_a_schedule_that_is_useless_is_said(schedule: Any, arguments: dict[str, Any], said: str) -> None:
    built = build(schedule, **arguments)
    count = RUN.steps if built.interval == "step" else RUN.epochs
    notes = describe_useless(schedule.__name__, built.interval, built.rates(count), count)
    assert (len(notes), said in "".join(notes)) == (bool(said), True)


@pytest.mark.parametrize("schedule", [lr_scheduler.CosineAnnealingLR, WarmupCosineLR, timms.CosineLRScheduler])
def test_the_rates_are_those_that_the_run_will_have(schedule: Any) -> None:
    optimizer = optimizer_of_two_groups()
    built = build_schedule(schedule, optimizer, "auto", lambda: RUN)
    seen, made = built.rates(8), []
    for over in range(1, 9):
        made.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        built.move(optimizer, over, over, None)
    assert seen == made, "and looking ahead has moved nothing"


def test_a_long_run_is_looked_at_for_a_moment_only() -> None:
    rates = build(lr_scheduler.ExponentialLR, gamma=1.0).rates(10**9)
    assert len(rates) == MOST_MOVES
    assert describe_useless("ExponentialLR", "step", rates, 10**9) == []


def test_rounding_below_zero_is_no_fault() -> None:
    assert find_invalid_rate([[0.1], [-1e-12]]) is None
    assert find_invalid_rate([[0.1], [-1e-3]]) == find_invalid_rate([[0.1], [math.nan]]) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["StepLR", "step_size=-1"], 2, "error: model.scheduler.step_size is -1: StepLR counts and multiplies with it"),
        (["StepLR"], 2, "step_size: is required and was not given; add --model.scheduler.step_size "),
        (
            ["ExponentialLR", "gamma=1e300"],
            2,
            "error: model.scheduler.gamma is 1e+300: ExponentialLR sets the",
        ),
        (["StepLR", "step_size=9"], 0, "note: StepLR never changes the learning rate in this run of 3 epochs"),
    ],
)
def test_the_command(cli: Cli, words: list[str], code: int, said: str) -> None:
    name, *arguments = words
    given = [f"--model.scheduler={name}", *(f"--model.scheduler.{argument}" for argument in arguments)]
    ended = cli("fit", *[word for word in SMALL if "scheduler" not in word], *given, "--trainer.max_epochs=3")
    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert bool(list(Path().glob("runs/*/*"))) is (code == 0)
