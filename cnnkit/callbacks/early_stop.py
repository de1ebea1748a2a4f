"""The reason why a run ended early."""

from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

_ADVICE = " Signaling Trainer to stop."


def describe_early_stop(trainer: L.Trainer, first_epoch: int) -> dict[str, Any] | None:
    """Describe for the manifest what ended a run by ``trainer.should_stop``; None for a run of full length.

    A callback gives the reason in its attribute ``stopping_reason_message``, as EarlyStopping does.

    Args:
        trainer: at the end of its fit.
        first_epoch: of this fit, counted from 0: a resume restores earlier reasons, which do not count.
    """
    if not trainer.should_stop or _has_full_length(trainer):
        return None
    found = {"by": "trainer.should_stop", "reason": "a callback or the task has set it and does not say why"}
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        reason = getattr(callback, "stopping_reason_message", None)
        if reason and getattr(callback, "stopped_epoch", first_epoch) >= first_epoch:
            text = str(reason).removesuffix(_ADVICE).removesuffix(".")
            found = {"by": type(callback).__name__, "reason": text}
            break
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
            found = {"by": type(callback).__name__, "reason": f"{callback.time_elapsed() + left:,.0f} s were over"}
            break
    return {**found, "epoch": trainer.current_epoch, "of_epochs": trainer.max_epochs, "step": trainer.global_step}


def _has_full_length(trainer: L.Trainer) -> bool:
    try:
        return bool(trainer.global_step >= trainer.estimated_stepping_batches)
    except MisconfigurationException:  # the number of accumulated batches changes
        return trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch
