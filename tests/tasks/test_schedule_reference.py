"""Each schedule in a fit of three epochs of four steps against a bare loop over torch's or timm's own object."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm.scheduler as timm_schedulers
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from tiny_training import EPOCHS, STEPS, Groups, tiny_fit, tiny_net
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.swa_utils import SWALR

from cnnkit import ClassificationTask
from cnnkit.optim import TriangleLR, WarmupCosineLR

ALL = STEPS * EPOCHS
SGD = partial(torch.optim.SGD, lr=0.5, momentum=0.9)


def halve(count: int) -> float:
    return 0.5**count


def keep_half(count: int) -> float:
    return 0.5


# class, arguments as a user gives them, arguments that its author would have given, what moves it
TORCH: list[tuple[Any, dict[str, Any], dict[str, Any], str]] = [
    (lr_scheduler.CosineAnnealingLR, {}, {"T_max": ALL}, "step"),
    (lr_scheduler.CosineAnnealingLR, {"T_max": 2, "eta_min": 0.1}, {}, "epoch"),
    (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 2}, {}, "epoch"),
    (lr_scheduler.ConstantLR, {"total_iters": 2}, {}, "epoch"),
    (lr_scheduler.LinearLR, {}, {}, "epoch"),
    (lr_scheduler.ExponentialLR, {"gamma": 0.5}, {}, "epoch"),
    (lr_scheduler.StepLR, {"step_size": 2}, {}, "epoch"),
    (lr_scheduler.MultiStepLR, {"milestones": [1, 2]}, {}, "epoch"),
    (lr_scheduler.LambdaLR, {"lr_lambda": halve}, {}, "epoch"),
    (lr_scheduler.MultiplicativeLR, {"lr_lambda": keep_half}, {}, "epoch"),
    (lr_scheduler.PolynomialLR, {}, {"total_iters": ALL}, "step"),
    (lr_scheduler.PolynomialLR, {"total_iters": 5}, {}, "epoch"),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0}, {"total_steps": ALL}, "step"),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0, "total_steps": 20}, {}, "step"),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0, "epochs": EPOCHS}, {"total_steps": ALL}, "step"),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0, "total_steps": None, "epochs": 3, "steps_per_epoch": 4}, {}, "step"),
    (lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3}, {}, "step"),
    (SWALR, {"swa_lr": 0.05, "anneal_epochs": 2}, {}, "epoch"),
    (WarmupCosineLR, {}, {"total_steps": ALL}, "step"),
    (TriangleLR, {"total_steps": ALL}, {}, "step"),
]
TIMM: list[tuple[Any, dict[str, Any], dict[str, Any], str]] = [
    (timm_schedulers.CosineLRScheduler, {"warmup_t": 1, "warmup_lr_init": 0.01}, {"t_initial": EPOCHS}, "epoch"),
    (timm_schedulers.CosineLRScheduler, {"t_in_epochs": False, "warmup_t": 3}, {"t_initial": ALL}, "step"),
    (
        timm_schedulers.CosineLRScheduler,
        {"t_in_epochs": False, "warmup_t": 3, "warmup_prefix": True},
        {"t_initial": ALL - 3},
        "step",
    ),
    (timm_schedulers.CosineLRScheduler, {"t_in_epochs": False, "cycle_limit": 3}, {"t_initial": STEPS}, "step"),
    (timm_schedulers.TanhLRScheduler, {}, {"t_initial": EPOCHS}, "epoch"),
    (timm_schedulers.PolyLRScheduler, {"t_in_epochs": False}, {"t_initial": ALL}, "step"),
    (timm_schedulers.StepLRScheduler, {"decay_t": 1, "decay_rate": 0.5}, {}, "epoch"),
    (timm_schedulers.MultiStepLRScheduler, {"decay_t": [1, 2], "decay_rate": 0.5}, {}, "epoch"),
    (
        timm_schedulers.WSDLRScheduler,
        {"decay_t": 4, "warmup_t": 2, "t_in_epochs": False},
        {"t_initial": ALL - 2},
        "step",
    ),
]


def reference(schedule: Any, optimizer: Optimizer, moves: str) -> list[list[float]]:
    """The rate, and momentum, of every step of a bare loop."""
    seen, steps = [], 0
    for epoch in range(EPOCHS):
        for _ in range(STEPS):
            seen.append([optimizer.param_groups[0][name] for name in ("lr", "momentum")])
            optimizer.step()
            steps += 1
            if moves == "step":
                schedule.step_update(steps) if hasattr(schedule, "step_update") else schedule.step()
        if moves == "epoch":
            schedule.step(epoch + 1) if hasattr(schedule, "step_update") else schedule.step()
    return seen


def bare_optimizer() -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(1))])


@pytest.mark.parametrize(("cls", "given", "meant", "moves"), TORCH + TIMM)
def test_a_fit_has_the_rates_of_a_bare_loop(
    cls: Callable[..., Any], given: dict[str, Any], meant: dict[str, Any], moves: str
) -> None:
    groups = Groups("lr", "momentum")
    task = ClassificationTask(tiny_net(), SGD, partial(cls, **given))
    tiny_fit(task, groups)
    optimizer = bare_optimizer()
    arguments = {name: value for name, value in {**given, **meant}.items() if not (meant and name == "epochs")}
    expected = reference(cls(optimizer, **arguments), optimizer, moves)
    torch.testing.assert_close(torch.tensor([step[:2] for step in groups.seen]), torch.tensor(expected))
    assert task.schedule is not None
    assert task.schedule.facts["interval"] == moves
    assert task.schedule.facts["filled"] == bool(meant)


def test_a_plateau_of_timm_looks_at_the_monitor_at_the_end_of_an_epoch() -> None:
    groups = Groups()
    plateau = partial(timm_schedulers.PlateauLRScheduler, decay_rate=0.1, patience_t=0, threshold=0.9, mode="min")
    with pytest.warns(FutureWarning, match="deprecated"):
        tiny_fit(ClassificationTask(tiny_net(), partial(torch.optim.SGD, lr=1e-3), plateau), groups)
    assert groups.rates == pytest.approx([1e-3] * 8 + [1e-4] * 4)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("step", [0.5 * 0.5**step for step in range(ALL)]),
        ("epoch", [0.5 * 0.5 ** (step // STEPS) for step in range(ALL)]),
    ],
)
def test_an_interval_that_is_asked_for_wins(interval: Any, expected: list[float]) -> None:
    groups = Groups()
    schedule = partial(lr_scheduler.ExponentialLR, gamma=0.5)
    tiny_fit(ClassificationTask(tiny_net(), SGD, schedule, schedule_interval=interval), groups)
    assert groups.rates == pytest.approx(expected)


def test_an_interval_that_is_asked_for_tells_timm_what_it_counts() -> None:
    groups = Groups()
    task = ClassificationTask(tiny_net(), SGD, timm_schedulers.CosineLRScheduler, schedule_interval="step")
    tiny_fit(task, groups)
    assert groups.rates == pytest.approx([0.25 * (1 + math.cos(math.pi * step / ALL)) for step in range(ALL)])


def test_a_function_of_the_users_own_moves_as_the_schedule_that_it_builds() -> None:
    groups = Groups()
    tiny_fit(ClassificationTask(tiny_net(), SGD, lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=ALL)), groups)
    optimizer = bare_optimizer()
    expected = reference(lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=ALL), optimizer, "step")
    assert groups.rates == pytest.approx([rate for rate, _ in expected])


def test_a_function_with_an_argument_for_the_length_is_given_it() -> None:
    def half_then_quarter(optimizer: Optimizer, total_steps: int) -> Any:
        return lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 if step < total_steps // 2 else 0.25)

    groups = Groups()
    tiny_fit(ClassificationTask(tiny_net(), SGD, half_then_quarter), groups)
    assert groups.rates == pytest.approx([0.25] * 6 + [0.125] * 6)


def test_a_schedule_of_parts_fills_in_each_part() -> None:
    """A warm-up of an epoch, then a cosine over what is left."""
    parts = [partial(lr_scheduler.LinearLR, start_factor=0.5, total_iters=4), lr_scheduler.CosineAnnealingLR]
    schedule = partial(lr_scheduler.SequentialLR, schedulers=parts, milestones=[4])
    groups = Groups()
    tiny_fit(ClassificationTask(tiny_net(), SGD, schedule, schedule_interval="step"), groups)
    rise = [0.25 + 0.25 * step / 4 for step in range(4)]
    assert groups.rates == pytest.approx(rise + [0.25 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])


def test_chained_schedules_multiply() -> None:
    parts = [
        partial(lr_scheduler.ConstantLR, factor=0.5, total_iters=2),
        partial(lr_scheduler.ExponentialLR, gamma=0.5),
    ]
    groups = Groups()
    tiny_fit(ClassificationTask(tiny_net(), SGD, partial(lr_scheduler.ChainedScheduler, schedulers=parts)), groups)
    assert groups.rates[::STEPS] == pytest.approx([0.25, 0.125, 0.125])


# ---- the length of the run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callbacks", "options", "steps"),
    [
        ([], {"accumulate_grad_batches": 3}, 6),  # four batches: after the third and after the last
        ([], {"limit_train_batches": 3}, 9),
        ([], {"limit_train_batches": 0.5, "accumulate_grad_batches": 2}, 3),
        ([], {"max_steps": 7}, 7),
        ([], {"max_steps": 7, "max_epochs": -1}, 7),
        ([GradientAccumulationScheduler({0: 4, 1: 2, 2: 1})], {}, 7),
        ([GradientAccumulationScheduler({0: 4, 1: 2})], {"max_steps": 4}, 4),
    ],
)
def test_the_length_is_the_number_of_optimizer_steps(
    callbacks: list[Callback], options: dict[str, Any], steps: int
) -> None:
    task = ClassificationTask(tiny_net(), SGD, lr_scheduler.PolynomialLR)
    trainer = tiny_fit(task, *callbacks, **options)
    assert trainer.global_step == steps
    assert task.schedule is not None
    assert task.schedule.facts["length"] == steps
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)


def test_a_schedule_without_a_length_needs_no_end() -> None:
    task = ClassificationTask(tiny_net(), SGD, partial(lr_scheduler.StepLR, step_size=1))
    assert tiny_fit(task, max_epochs=-1, max_time={"seconds": 0}).global_step <= 1


# ---- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        partial(timm_schedulers.CosineLRScheduler, t_in_epochs=False, warmup_t=3),
        partial(timm_schedulers.TanhLRScheduler, noise_range_t=[1, 3]),
        partial(timm_schedulers.PlateauLRScheduler, patience_t=0, threshold=0.9, mode="min"),
        partial(lr_scheduler.OneCycleLR, max_lr=1e-3),
    ],
)
@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated")
def test_a_schedule_goes_on_where_it_stopped(schedule: Any, tmp_path: Path) -> None:
    slow = partial(torch.optim.SGD, lr=1e-3, momentum=0.9)
    whole, rest = Groups(), Groups()
    tiny_fit(ClassificationTask(tiny_net(), slow, schedule), whole)
    first = ClassificationTask(tiny_net(), slow, schedule)
    trainer = tiny_fit(first, Stop(2), max_epochs=EPOCHS)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    tiny_fit(ClassificationTask(tiny_net(), slow, schedule), rest, ckpt_path=tmp_path / "last.ckpt")
    assert rest.rates == whole.rates[2 * STEPS :]


class Stop(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Any, *args: Any) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs
