"""The clock as a callback of Lightning: for the ordinary script and for cnnkit."""

from typing import Any, ClassVar

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.peers.watch import Watch


class LightningWatch(Callback):
    """Reads the clock of this process."""

    watch: ClassVar[Watch]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.watch.begin_epoch()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count; the validation comes before `on_train_epoch_end`, so the last batch ends the training."""
        self.watch.step(len(batch[0]))
        if trainer.is_last_batch:
            self.watch.end_epoch()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop after the time."""
        if not trainer.sanity_checking:
            trainer.should_stop = self.watch.validated(float(trainer.callback_metrics["val/acc"]))
