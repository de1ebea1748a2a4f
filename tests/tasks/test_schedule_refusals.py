"""A schedule that cannot be is refused before training, and what may surprise in one is said."""

from functools import partial
from typing import Any

import pytest
import timm.scheduler as timm_schedulers
import torch
from tiny_training import Groups, tiny_fit, tiny_net
from torch.optim import Optimizer, lr_scheduler

from cnnkit import ClassificationTask
from cnnkit.errors import UserError

SGD = partial(torch.optim.SGD, lr=0.5, momentum=0.9)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "options", "message"),
    [
        (SGD, partial(lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=8), {}, "total_steps is 8, but the run has 12"),
        (
            partial(torch.optim.Adagrad, lr=0.1),
            partial(lr_scheduler.OneCycleLR, max_lr=1.0),
            {},
            r"cycle_momentum is true, but Adagrad has no momentum",
        ),
        (SGD, lr_scheduler.ReduceLROnPlateau, {"schedule_interval": "step"}, "schedule_interval is step"),
        (SGD, lr_scheduler.ReduceLROnPlateau, {"monitor": "val/acc"}, "mode is min, but val/acc is best at its max"),
        (
            SGD,
            partial(lr_scheduler.StepLR, step_size=0),
            {},
            r"model\.scheduler\.step_size is 0, which StepLR refuses: integer modulo",
        ),
        (
            SGD,
            partial(lr_scheduler.CosineAnnealingLR, eta_min="x"),
            {},
            r"\.scheduler\.eta_min is x, which Cosine",
        ),
        (SGD, partial(timm_schedulers.CosineLRScheduler, warmup_t=9, warmup_prefix=True), {}, "warmup_t is 9"),
        (SGD, partial(lr_scheduler.SequentialLR, schedulers=[1], milestones=[]), {}, "give a list of schedules"),
        (
            SGD,
            partial(lr_scheduler.SequentialLR, schedulers=[lr_scheduler.LinearLR], milestones=[1]),
            {},
            r"milestones are \[1\]: give 0",
        ),
        (SGD, lambda optimizer: optimizer, {}, "makes a SGD"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_before_training(
    optimizer: Any, schedule: Any, options: dict[str, Any], message: str
) -> None:
    groups = Groups()
    with pytest.raises(UserError, match=message):
        tiny_fit(ClassificationTask(tiny_net(), optimizer, schedule, **options), groups)
    assert not groups.seen


def test_a_plateau_without_validation_is_refused() -> None:
    with pytest.raises(UserError, match="nothing is validated"):
        tiny_fit(ClassificationTask(tiny_net(), SGD, lr_scheduler.ReduceLROnPlateau), limit_val_batches=0)


class HalvingLR(lr_scheduler.ExponentialLR):
    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, gamma=0.5)


@pytest.mark.parametrize(
    ("schedule", "note"),
    [
        (
            partial(lr_scheduler.MultiStepLR, milestones=[1, 30]),
            "note: MultiStepLR has a milestone at 30; the run",
        ),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=2), "note: CosineAnnealingLR has T_max 2; the run has 3 epochs"),
        (HalvingLR, "note: HalvingLR moves once an epoch; model.schedule_interval=step makes it move"),
        (lr_scheduler.CosineAnnealingLR, ""),
        (partial(lr_scheduler.MultiStepLR, milestones=[1, 2]), ""),
    ],
)
def test_what_may_surprise_is_said(schedule: Any, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_fit(ClassificationTask(tiny_net(), SGD, schedule))
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert [line[: len(note)] for line in notes] == ([note] if note else [])
