"""Stop a run early, by a signal or because the loss is not finite, without losing anything."""

import contextlib
import math
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from cnnkit.metrics import log_interval


class StopRequested(Exception):
    """Raised between two steps after a signal; the checkpoint is saved. ``signum`` says which signal it was."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Diverged(Exception):
    """The loss or the weights are NaN or infinite."""


class StopOnSignal(Checkpoint):
    """On Ctrl-C, SIGTERM or SIGHUP: finish the step, save ``last.ckpt``, stop. A second signal stops at once.

    Several processes all stop after the same step, whichever got the signal; they exchange it every
    ``trainer.log_every_n_steps`` steps. It is a `Checkpoint`, so that at an epoch's end the task's hooks run first.
    Between saving and stopping the loggers get the metrics of the step.

    Args:
        checkpoint: where to save.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint
        self._signum: int | None = None
        self._saved = False
        self._previous: dict[int, Any] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Note the handlers before the trainer sets its own: it takes these back before `teardown`."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
            self._previous = {signum: signal.getsignal(signum) for signum in known}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._signum, self._saved = None, False
        for signum in self._previous:
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # Only note it: the current step must end before anything is saved.
        self._signum = signum
        signal.signal(signum, signal.SIG_DFL)
        with contextlib.suppress(OSError):  # print is not safe in a handler
            os.write(2, b"\nstopping after this step; once more to leave at once\n")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save, but not between a step and its validation: a resume would skip that validation.

        Nor while gradients accumulate, which no checkpoint has.
        """
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        validates = trainer.is_last_batch or (batch_idx + 1) % (trainer.val_check_batch or math.inf) == 0
        if not validates and self._is_requested(trainer, trainer.global_step % log_interval(trainer) == 0):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch + 1 != trainer.max_epochs and self._is_requested(trainer, True):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stop()

    def _is_requested(self, trainer: L.Trainer, all_exchange: bool) -> bool:
        if trainer.world_size > 1:
            if not all_exchange or not trainer.strategy.reduce_boolean_decision(self._signum is not None, all=False):
                return False
            self._signum = self._signum or signal.SIGTERM
        return self._signum is not None

    def _save(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.checkpoint)
        self._saved = True

    def _stop(self) -> None:
        if self._saved and self._signum is not None:
            raise StopRequested(self._signum)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()


class StopOnNaN(Callback):
    """Ends a run whose loss or weights are NaN or infinite before such weights overwrite a checkpoint.

    It checks the loss every ``trainer.log_every_n_steps`` steps and at every epoch's end, when the host waits for the
    device anyway. It checks the weights and the optimizer's state before they are saved: an infinite gradient in an
    epoch's last step leaves a finite loss.
    """

    def __init__(self) -> None:
        self._losses: list[torch.Tensor] = []  # since the last check
        self._infinite_by_design: set[str] = set()

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note buffers that are infinite from the start, such as the masks of attention."""
        self._losses = []
        self._infinite_by_design = {
            n for n, b in pl_module.named_buffers() if b.is_floating_point() and b.isinf().any()
        }

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that no run can continue from; one wait for the device.

        Infinite moments of an optimizer can be harmless (the step is 0), NaN in them never is.
        """
        weights = [v for n, v in checkpoint["state_dict"].items() if _floats(v) and n not in self._infinite_by_design]
        states = [s for o in checkpoint.get("optimizer_states", ()) for s in o.get("state", {}).values()]
        moments = [v for state in states for v in state.values() if _floats(v)]
        device = pl_module.device  # some optimizers count their steps on the CPU
        bad = [~w.isfinite().all().to(device) for w in weights] + [m.isnan().any().to(device) for m in moments]
        if bad and bool(torch.stack(bad).any()):
            raise Diverged(
                f"the weights are no finite numbers after step {trainer.global_step} and are not saved; "
                "lower the learning rate, or set trainer.gradient_clip_val. Any checkpoints are from before"
            )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not torch.is_tensor(loss):
            return
        self._losses.append(loss.detach())
        if trainer.global_step % log_interval(trainer) == 0 or trainer.is_last_batch:
            losses, self._losses = self._losses, []
            if not bool(torch.cat([each.reshape(-1) for each in losses]).isfinite().all()):
                raise Diverged(
                    f"the loss was no finite number at or before step {trainer.global_step}; "
                    "lower the learning rate or train in 32-true. Any checkpoints are from before"
                )


def _floats(value: Any) -> bool:
    return torch.is_tensor(value) and value.is_floating_point() and value.numel() > 0


class WarnOnNaN(Callback):
    """Prints, once an epoch, that ``val/loss`` is NaN or infinite while the training loss is finite.

    A training loss that is not finite ends the run, see `StopOnNaN`. In validation alone the cause is a single image or
    batch norm's statistics; training can continue, and the epoch is not the best one.
    """

    def __init__(self) -> None:
        self._said_in = -1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics.get("val/loss", 0.0))
        if math.isfinite(loss) or trainer.sanity_checking or trainer.current_epoch == self._said_in:
            return
        self._said_in = trainer.current_epoch
        if trainer.is_global_zero:
            print(
                f"epoch {trainer.current_epoch + 1}: val/loss is {loss}, though the training loss is a number; this "
                "epoch cannot be the best one. Look at the validation images, or lower the learning rate",
                file=sys.stderr,
            )
