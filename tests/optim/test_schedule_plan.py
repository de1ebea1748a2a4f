"""By what a schedule moves and which argument is its length, from names alone."""

from functools import partial
from typing import Any

import pytest
import timm.scheduler as timms
import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from cnnkit.cli.parsing.classes import find_import_path, list_bases, resolve_class
from cnnkit.errors import UserError
from cnnkit.optim import (
    RunLength,
    TriangleLR,
    UpdateSchedule,
    build_schedule,
    common_rates,
    length_arguments,
    plan_schedule,
    scale_rates,
)


def of_huggingface(optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int) -> Any:
    """The arguments of transformers.get_linear_schedule_with_warmup."""


def of_bolts(optimizer: Optimizer, warmup_epochs: int, max_epochs: int) -> Any:
    """The arguments of LinearWarmupCosineAnnealingLR."""


class OwnLR(LRScheduler):
    def __init__(self, optimizer: Optimizer, decay: float = 0.5) -> None:
        self.decay = decay
        super().__init__(optimizer)


@pytest.mark.parametrize(
    ("schedule", "interval", "filled"),
    [
        (lr_scheduler.OneCycleLR, "step", {"total_steps": 120}),
        (
            partial(lr_scheduler.OneCycleLR, total_steps=None, epochs=None, steps_per_epoch=None),
            "step",
            {"total_steps": 120},
        ),
        (partial(lr_scheduler.OneCycleLR, epochs=5), "step", {"total_steps": 60}),
        (partial(lr_scheduler.OneCycleLR, steps_per_epoch=7), "step", {"total_steps": 70}),
        (partial(lr_scheduler.OneCycleLR, total_steps=0, epochs=5, steps_per_epoch=7), "step", {"total_steps": None}),
        (partial(lr_scheduler.OneCycleLR, total_steps=50), "step", {}),
        (lr_scheduler.CosineAnnealingLR, "step", {"T_max": 120}),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=5), "epoch", {}),
        (partial(lr_scheduler.PolynomialLR, total_iters=0), "step", {"total_iters": 120}),
        (partial(lr_scheduler.PolynomialLR, total_iters=5), "epoch", {}),
        (lr_scheduler.LinearLR, "epoch", {}),
        (lr_scheduler.CyclicLR, "step", {}),
        (lr_scheduler.CosineAnnealingWarmRestarts, "epoch", {}),
        (lr_scheduler.StepLR, "epoch", {}),
        (lr_scheduler.ReduceLROnPlateau, "epoch", {}),
        (partial(TriangleLR, total_steps=30), "step", {}),
        (timms.CosineLRScheduler, "epoch", {"t_in_epochs": True, "t_initial": 10}),
        (partial(timms.CosineLRScheduler, t_in_epochs=False), "step", {"t_in_epochs": False, "t_initial": 120}),
        (
            partial(
                timms.TanhLRScheduler, t_in_epochs=False, warmup_t=20, warmup_prefix=True, cycle_limit=2, cycle_mul=3.0
            ),
            "step",
            {"t_in_epochs": False, "t_initial": 25},  # 20 + 25 + 75
        ),
        (partial(timms.StepLRScheduler, decay_t=3), "epoch", {"t_in_epochs": True}),
        (timms.PlateauLRScheduler, "epoch", {}),
        (of_huggingface, "step", {"num_training_steps": 120}),
        (of_bolts, "epoch", {"max_epochs": 10}),
        (OwnLR, "epoch", {}),
    ],
)
def test_interval_and_length(schedule: Any, interval: str, filled: dict[str, Any]) -> None:
    plan = plan_schedule(schedule)
    assert plan.interval == interval
    assert length_arguments(schedule, plan, lambda: RunLength(steps=120, epochs=10)) == filled


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_an_interval_that_is_asked_for_decides_what_the_length_counts(interval: Any) -> None:
    def fill(schedule: Any) -> dict[str, Any]:
        return length_arguments(schedule, plan_schedule(schedule, interval), lambda: RunLength(steps=120, epochs=10))

    length = {"step": 120, "epoch": 10}[interval]
    assert fill(lr_scheduler.OneCycleLR) == {"total_steps": length}
    assert fill(timms.PolyLRScheduler) == {"t_in_epochs": interval == "epoch", "t_initial": length}


def test_the_length_of_a_run_is_not_asked_for_without_need() -> None:
    """Asking for it makes Lightning set the loaders up."""

    def measure() -> RunLength:
        raise AssertionError

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    for schedule in (lr_scheduler.ReduceLROnPlateau, partial(lr_scheduler.StepLR, step_size=2)):
        build_schedule(schedule, optimizer, "auto", measure)
    with pytest.raises(UserError, match=r"T_max is to be the length of the run, which has none: set trainer"):
        build_schedule(lr_scheduler.CosineAnnealingLR, optimizer, "auto", lambda: None)


def test_a_schedule_that_is_tried_leaves_the_optimizer_as_it_was() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    built = build_schedule(partial(lr_scheduler.ExponentialLR, gamma=0.5), optimizer, "auto", lambda: None)
    assert optimizer.param_groups[0]["lr"] == 1.0
    built.move(optimizer, 1, 1, None)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_groups_without_a_ratio_get_no_key() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    keys = set(optimizer.param_groups[0])
    scale_rates(optimizer)
    with common_rates(optimizer):
        pass
    assert set(optimizer.param_groups[0]) == keys


def test_a_part_of_no_rate_is_refused() -> None:
    from timm.optim import Adafactor

    with pytest.raises(UserError, match="Adafactor has no lr"):
        scale_rates(Adafactor([{"params": [nn.Parameter(torch.zeros(1))], "lr_scale": 0.1}]))


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (Optimizer, "Adam", "torch.optim.Adam"),
        (Optimizer, "Muon", "torch.optim.Muon"),
        (Optimizer, "Lion", "timm.optim.Lion"),
        (Optimizer, "Leon", "Leon"),
        (LRScheduler | UpdateSchedule, "MultiStepLR", "torch.optim.lr_scheduler.MultiStepLR"),
        (LRScheduler | UpdateSchedule, "TriangleLR", "cnnkit.optim.TriangleLR"),
        (LRScheduler | UpdateSchedule, "WSDLRScheduler", "timm.scheduler.WSDLRScheduler"),
    ],
)
def test_a_name_alone_means_cnnkits_torchs_or_timms_class(kind: Any, name: str, path: str) -> None:
    found = resolve_class(name, list_bases(kind))
    assert (find_import_path(found) if found else name) == path
