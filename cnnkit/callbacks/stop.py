"""Stopping early, by hand or because the loss is no number any more, without losing anything."""

import math
import os
import signal
import threading
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint


class StopRequested(Exception):
    """Raised between two steps after a signal; the checkpoint is saved. ``signum`` says which signal it was."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Diverged(Exception):
    """The loss is NaN or infinite."""


class StopOnSignal(Checkpoint):
    """On Ctrl-C, SIGTERM or SIGHUP: finish the step, save ``last.ckpt``, leave. A second one leaves at once.

    Of several processes all leave after the same step, whichever got the signal; they ask each other every
    ``trainer.log_every_n_steps`` steps. A `Checkpoint` to Lightning, so that at an epoch's end the task has its turn
    first. Between saving and leaving the loggers get what belongs to the step.

    Args:
        checkpoint: where to save.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self._signum: int | None = None
        self._saved = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over, after Lightning has taken them."""
        self._signum, self._saved = None, False
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                if hasattr(signal, name):
                    signum = getattr(signal, name)
                    self._previous[signum] = signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # Only a note: the step that is under way must end before anything is saved.
        self._signum = signum
        signal.signal(signum, signal.SIG_DFL)
        os.write(2, b"\nstopping after this step; once more to leave at once\n")  # print is not safe in a handler

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, but not between a step and the validation that belongs to it: a resume would skip that one."""
        validates = trainer.is_last_batch or (batch_idx + 1) % (trainer.val_check_batch or math.inf) == 0
        if not validates and self._asked(trainer, trainer.global_step % every(trainer) == 0):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save after the epoch's validation, unless the run is over anyway."""
        if trainer.current_epoch + 1 != trainer.max_epochs and self._asked(trainer, True):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave."""
        self._leave()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Leave."""
        self._leave()

    def _asked(self, trainer: L.Trainer, all_ask: bool) -> bool:
        if trainer.world_size > 1:
            if not all_ask or not trainer.strategy.reduce_boolean_decision(self._signum is not None, all=False):
                return False
            self._signum = self._signum or signal.SIGTERM
        return self._signum is not None

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.checkpoint)
        self._saved = True

    def _leave(self) -> None:
        if self._saved and self._signum is not None:
            raise StopRequested(self._signum)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous.clear()


class StopOnNaN(Callback):
    """Ends a run whose loss is NaN or infinite before such weights overwrite a checkpoint.

    Looks once every ``trainer.log_every_n_steps`` steps and at every epoch's end, when the host waits for the device
    anyway.
    """

    def __init__(self) -> None:
        self._finite: torch.Tensor | None = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note on the device whether the loss is finite; look at the note now and then."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not torch.is_tensor(loss):
            return
        finite = torch.isfinite(loss.detach())
        self._finite = finite if self._finite is None else self._finite & finite
        if trainer.global_step % every(trainer) == 0 or trainer.is_last_batch:
            finite_so_far, self._finite = bool(self._finite), None
            if not finite_so_far:
                raise Diverged(
                    f"the loss was no finite number at or before step {trainer.global_step}; "
                    "lower the learning rate or train in 32-true. The checkpoints are from before"
                )


def every(trainer: L.Trainer) -> int:
    """Steps between two looks, ``trainer.log_every_n_steps``."""
    return int(trainer.log_every_n_steps) or 1  # type: ignore[attr-defined]
