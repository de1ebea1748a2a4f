"""How fast the training goes."""

import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback


class Throughput(Callback):
    """Logs ``images_per_second`` of training at every epoch's end: loading, augmentation and steps, not validation."""

    def __init__(self) -> None:
        self.train_seconds = 0.0  # of the whole run
        self.train_images = 0
        self._images = 0
        self._started = 0.0
        self._paused = 0.0
        self._pause_began = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._images, self._paused = 0, 0.0
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the images."""
        first = batch[0] if isinstance(batch, (tuple, list)) else batch
        self._images += len(first) * trainer.world_size if torch.is_tensor(first) else 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        self._pause_began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let the clock go on."""
        self._paused += time.perf_counter() - self._pause_began

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the rate of this epoch."""
        seconds = time.perf_counter() - self._started - self._paused
        self.train_seconds += seconds
        self.train_images += self._images
        pl_module.log("images_per_second", self._images / seconds, rank_zero_only=False)
