"""Warn of a validation loss that is not finite."""

import math
import sys

import lightning as L
from lightning.pytorch.callbacks import Callback


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
