"""The speed of training."""

import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback


class Throughput(Callback):
    """Logs ``images_per_second`` of training at every epoch's end: loading, augmentation and steps, not validation."""

    logs = ("images_per_second",)

    def __init__(self) -> None:
        self.train_seconds = 0.0  # of the finished epochs
        self.train_images = 0
        self._images = 0
        self._started = self._paused = self._pause_began = 0.0
        self._running = False

    def state_dict(self) -> dict[str, Any]:
        seconds, images = (self._seconds(), self._images) if self._running else (0.0, 0)
        return {"train_seconds": self.train_seconds + seconds, "train_images": self.train_images + images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train_seconds, self.train_images = state_dict["train_seconds"], state_dict["train_images"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock here too: a run that is resumed within an epoch has no epoch start."""
        self._images, self._paused, self._running = 0, 0.0, True
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        first = batch[0] if isinstance(batch, (tuple, list)) else batch
        self._images += len(first) * trainer.world_size if torch.is_tensor(first) else 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pause_began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused += time.perf_counter() - self._pause_began

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seconds, self._running = self._seconds(), False
        self.train_seconds += seconds
        self.train_images += self._images
        pl_module.log("images_per_second", self._images / seconds)

    def _seconds(self) -> float:
        return time.perf_counter() - self._started - self._paused
