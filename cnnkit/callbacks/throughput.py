"""The speed of training."""

import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from cnnkit.notices import say
from cnnkit.threads import WaitClock, describe_starvation

FIRST_LOOK = 10.0  # seconds of training; before that a share means little
STARVED = 0.2  # of the time


class Throughput(Callback):
    """Logs ``images_per_second`` of training at every epoch's end: loading, augmentation and steps, not validation.

    Looks after ten seconds, and at every epoch's end after that, whether the run's threads wait for a core. The first
    time that they wait for a fifth of the time, it says so in a line. A step pays for no look.
    """

    logs = ("images_per_second",)

    def __init__(self) -> None:
        self.train_seconds = 0.0  # of the finished epochs
        self.train_images = 0
        self._images = 0
        self._started = self._paused = self._pause_began = 0.0
        self._running = False
        self._waits: WaitClock | None = None
        self._look_at = float("inf")
        self._starved = False  # and the user knows

    def state_dict(self) -> dict[str, Any]:
        seconds, images = (self._seconds(), self._images) if self._running else (0.0, 0)
        return {"train_seconds": self.train_seconds + seconds, "train_images": self.train_images + images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.train_seconds, self.train_images = state_dict["train_seconds"], state_dict["train_images"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock here too: a run that is resumed within an epoch has no epoch start."""
        self._waits = WaitClock()
        self._look_at = time.perf_counter() + FIRST_LOOK
        self._start_clock()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start_clock()

    def _start_clock(self) -> None:
        self._images, self._paused, self._running = 0, 0.0, True
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        first = batch[0] if isinstance(batch, (tuple, list)) else batch
        self._images += len(first) * trainer.world_size if torch.is_tensor(first) else 0
        if time.perf_counter() > self._look_at:
            self._look(trainer)
            self._look_at = float("inf")

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pause_began = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._paused += time.perf_counter() - self._pause_began

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seconds, self._running = self._seconds(), False
        self.train_seconds += seconds
        self.train_images += self._images
        pl_module.log("images_per_second", self._images / seconds)
        if self._look_at == float("inf"):
            self._look(trainer)

    def read_waiting(self) -> float | None:
        """Return the share of this training's time that its threads waited for a core; None if nobody counts it."""
        return self._waits.read_share() if self._waits else None

    def _look(self, trainer: L.Trainer) -> None:
        share = self._waits.look() if self._waits and not self._starved else None
        if share is not None and share >= STARVED and trainer.strategy.root_device.type == "cpu":
            self._starved = True
            say(describe_starvation(share, torch.get_num_threads()))

    def _seconds(self) -> float:
        return time.perf_counter() - self._started - self._paused
