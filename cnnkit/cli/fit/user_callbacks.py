"""Refuses callbacks whose effect is lost, and selects those that act in a command."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    DeviceStatsMonitor,
    EMAWeightAveraging,
    LearningRateFinder,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)

from cnnkit.errors import UserError

FINDERS = (LearningRateFinder, BatchSizeFinder)


def refuse_silent(given: Sequence[Callback], max_time: Any = None) -> None:
    """Refuse callbacks whose effect no checkpoint, score or test would see, or that do something else than they say.

    Raises:
        UserError: naming the callback and what does the same and is saved.
    """
    for callback in given:
        if isinstance(callback, StochasticWeightAveraging):
            raise UserError(
                "trainer.callbacks: StochasticWeightAveraging puts the average into the net after the last checkpoint, "
                "so that nothing validated, saved or tested is averaged; use WeightAveraging or EMA"
            )
        if isinstance(callback, EMAWeightAveraging) and not _is_ours(callback) and _starts_late(callback):
            raise UserError(
                "trainer.callbacks: EMAWeightAveraging that starts late, or updates seldom, validates and saves a net "
                "that is hardly trained; use EMA, which has update_starting_at_step and update_every_n_steps as well, "
                "and whose average is the net itself until then"
            )
        if isinstance(callback, ModelPruning) and not _is_ours(callback):
            raise UserError(
                "trainer.callbacks: Lightning's ModelPruning prunes after an epoch's validation, so that the net which "
                "is saved has not been scored; write ModelPruning alone: cnnkit's prunes before it"
            )
        if isinstance(callback, Timer) and max_time is not None:
            raise UserError("trainer.callbacks: Timer and trainer.max_time both limit the time, and one wins: give one")


def _is_ours(callback: Callback) -> bool:
    """Whether it is cnnkit's, by name: an import would make every run depend on a callback that few have."""
    return any(kind.__module__.startswith("cnnkit.callbacks.") for kind in type(callback).__mro__)


def _starts_late(callback: EMAWeightAveraging) -> bool:
    starts_late = callback.update_starting_at_step or callback.update_starting_at_epoch
    return bool(starts_late or callback.update_every_n_steps > 1)


def select_for_command(given: Sequence[Callback], command: str, terminal: bool) -> list[Callback]:
    """The user's callbacks that have something to do in ``validate``, ``test`` or ``predict``.

    Those that only train would look there for what a fit sets up: a logger, a restored state, an average.

    Args:
        given: the user's callbacks, as the run's configuration names them.
        command: what is done.
        terminal: whether a person watches, and progress bars are drawn.
    """
    stage = {"validate": "validation"}.get(command, command)
    fit_only = (*FINDERS, DeviceStatsMonitor, ModelPruning, *(() if terminal else (ProgressBar,)))
    return [callback for callback in given if not isinstance(callback, fit_only) and _acts(callback, stage)]


def _acts(callback: Callback, stage: str) -> bool:
    """Whether a callback's class has a hook of its own for a stage."""
    hooks = [name for name in dir(Callback) if name.startswith(f"on_{stage}_")]
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in hooks)


def remove_finders(configured: Any) -> Any:
    """A configuration's list of callbacks without Lightning's finders: what they have found is written down instead."""
    if configured is None:
        return None
    names = {
        f"{module}.{kind.__name__}" for kind in FINDERS for module in (lightning_callbacks.__name__, kind.__module__)
    }
    rest = [
        each
        for each in (configured if isinstance(configured, list) else [configured])
        if each["class_path"] not in names
    ]
    return rest or None
