"""Schedules and the run: its length, a resume, what is refused before training, and the notes."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm.scheduler as timm_schedulers
import torch
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from tasks.test_schedule_reference import SGD
from tiny_training import EPOCHS, STEPS, Groups, tiny_fit, tiny_net
from torch.optim import Optimizer, lr_scheduler

from cnnkit import ClassificationTask
from cnnkit.errors import UserError

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


# ---- refusals, and what is said --------------------------------------------------------------------------------------


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
