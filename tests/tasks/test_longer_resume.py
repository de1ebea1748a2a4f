"""A run resumed with another length has from there on the rates of a run that had this length from its start."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import timm.scheduler as timm_schedulers
import torch
from lightning.pytorch.callbacks import Callback
from tiny_training import STEPS, Groups, tiny_fit, tiny_net
from torch.optim import lr_scheduler

import cnnkit.optim
from cnnkit import ClassificationTask
from cnnkit.optim import plan_schedule

SGD = partial(torch.optim.SGD, lr=0.5, momentum=0.9)
NEEDED: dict[str, dict[str, Any]] = {
    "OneCycleLR": {"max_lr": 1.0},
    "WSDLRScheduler": {"decay_t": 1},
}
# Whatever has a length that is filled in, of all that torch, timm and cnnkit have.
FILLED = {
    f"{module.__name__}.{name}": cls
    for module in (lr_scheduler, timm_schedulers, cnnkit.optim)
    for name, cls in vars(module).items()
    if inspect.isclass(cls) and not name.startswith("_") and plan_schedule(partial(cls, **NEEDED.get(name, {}))).fills
}


class SaveAt(Callback):
    """Saves after so many steps: within an epoch, or at its end."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.step = path, step

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and self.step % STEPS:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and not self.step % STEPS:
            trainer.save_checkpoint(self.path)


def rates(factory: Any, epochs: int, *callbacks: Callback, task: type = ClassificationTask, **kwargs: Any) -> list[Any]:
    groups = Groups("lr", "momentum")
    tiny_fit(task(tiny_net(), SGD, factory), groups, *callbacks, max_epochs=epochs, **kwargs)
    return groups.seen


def assert_follows(
    factory: Any, path: Path, step: int, before: int, after: int, task: type = ClassificationTask
) -> None:
    whole = rates(factory, after, task=task)
    rates(factory, before, SaveAt(path, step), task=task)
    resumed = rates(factory, after, ckpt_path=path, task=task)
    # A resume within an epoch goes through that epoch's remaining steps.
    torch.testing.assert_close(torch.tensor(resumed), torch.tensor(whole[step : step + len(resumed)]))
    assert len(resumed) == len(whole) - step


def test_there_are_schedules_to_try() -> None:
    names = {name.rpartition(".")[2] for name in FILLED}
    assert {"CosineAnnealingLR", "OneCycleLR", "PolynomialLR", "CosineLRScheduler", "WarmupCosineLR"} <= names


@pytest.mark.parametrize("name", FILLED)
def test_a_longer_run_follows_its_own_length_from_where_it_goes_on(name: str, tmp_path: Path) -> None:
    factory = partial(FILLED[name], **NEEDED.get(name.rpartition(".")[2], {}))
    assert_follows(factory, tmp_path / "a.ckpt", 2 * STEPS, before=2, after=4)  # a finished run, at its end
    assert_follows(factory, tmp_path / "b.ckpt", STEPS, before=4, after=2)  # a stopped one, made shorter


def test_a_run_that_was_stopped_within_an_epoch_follows_as_well(tmp_path: Path) -> None:
    for cls in (lr_scheduler.CosineAnnealingLR, timm_schedulers.CosineLRScheduler):
        assert_follows(cls, tmp_path / "a.ckpt", STEPS + 2, before=2, after=4)


def test_the_same_in_steps_for_timms_which_count_epochs_by_themselves(tmp_path: Path) -> None:
    for cls in (timm_schedulers.CosineLRScheduler, timm_schedulers.PolyLRScheduler):
        assert_follows(partial(cls, t_in_epochs=False), tmp_path / "a.ckpt", 2 * STEPS, before=2, after=5)


def test_schedules_of_several_parts_follow_too(tmp_path: Path) -> None:
    parts = [partial(lr_scheduler.LinearLR, total_iters=3), lr_scheduler.CosineAnnealingLR]
    factory = partial(lr_scheduler.SequentialLR, schedulers=parts, milestones=[3])
    assert_follows(factory, tmp_path / "a.ckpt", 2 * STEPS, before=2, after=4)


class InRatios(ClassificationTask):
    def parameter_groups(self) -> list[dict[str, Any]]:
        first, *rest = self.parameters()
        return [{"params": rest}, {"params": [first], "lr_scale": 0.1}]


def test_groups_keep_their_ratios(tmp_path: Path) -> None:
    for cls in (lr_scheduler.CosineAnnealingLR, partial(lr_scheduler.OneCycleLR, max_lr=1.0)):
        assert_follows(cls, tmp_path / "a.ckpt", 2 * STEPS, before=2, after=4, task=InRatios)


def test_a_schedule_whose_length_somebody_gave_stays_as_it_is(tmp_path: Path) -> None:
    factory = partial(lr_scheduler.CosineAnnealingLR, T_max=5)
    assert_follows(factory, tmp_path / "a.ckpt", 2 * STEPS, before=2, after=4)


def test_a_checkpoint_from_before_this_was_kept_goes_on_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    rates(lr_scheduler.CosineAnnealingLR, 2, SaveAt(path, STEPS))
    old = torch.load(path, weights_only=True)
    del old["schedule_moves"]
    torch.save(old, path)
    whole = rates(lr_scheduler.CosineAnnealingLR, 2)
    assert rates(lr_scheduler.CosineAnnealingLR, 2, ckpt_path=path) == whole[STEPS:]
