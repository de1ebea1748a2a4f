"""``fit`` as shipped against a bare PyTorch loop: same net, numerics, batches and validation, epoch by epoch in turn.

The bare loop runs inside of the fit, between two of its epochs, with nets, batches and precision taken from it. A
fit's epoch lasts from one `on_train_epoch_start` to the next: training, validation, callbacks, loggers, checkpoints.
"""

import copy
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import Table, fashion_mnist, fit, ratios
from cnnkit.data import ImageDataModule

ROUNDS = 4


class BareLoop:
    """What one would write by hand."""

    def __init__(self, net: nn.Module, data: ImageDataModule, precision: str, device: torch.device) -> None:
        self.net, self.data = net, data
        self.optimizer = torch.optim.Adam(net.parameters(), fused=True)
        self.train_batches, self.val_batches = data.train_dataloader(), data.val_dataloader()
        self.autocast = {"device_type": device.type, "dtype": torch.bfloat16, "enabled": precision == "bf16-mixed"}

    def epoch(self) -> tuple[float, float]:
        """Train, then validate; the validation loss and accuracy."""
        self.net.train()
        for batch in self.train_batches:
            images, labels = self.data.prepare(batch, training=True)
            with torch.autocast(**self.autocast):
                loss = F.cross_entropy(self.net(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.net.eval()
        with torch.no_grad():
            scores = torch.stack([self.score(batch) for batch in self.val_batches]).sum(0) / len(self.data.val_indices)
        return tuple(scores.tolist())

    def score(self, batch: Any) -> Tensor:
        """The sum of losses and the number of hits."""
        images, labels = self.data.prepare(batch, training=False)
        with torch.autocast(**self.autocast):
            logits = self.net(images)
        logits = logits.float()
        return torch.stack([F.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(1) == labels).sum()])


class AgainstBareLoop(Callback):
    """Times the fit's epochs, and before each of them one of the bare loop. The first of both is warm-up."""

    seconds: ClassVar[dict[str, list[float]]] = {}
    losses: ClassVar[dict[str, float]] = {}
    precision: ClassVar[str] = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Copy the net before its first step."""
        type(self).seconds, type(self).precision = {"fit": [], "bare loop": []}, str(trainer.precision)
        device = trainer.strategy.root_device
        self.bare = BareLoop(copy.deepcopy(pl_module.net), trainer.datamodule, self.precision, device)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the fit's epoch before, run the bare loop's, begin the fit's."""
        self.stop("fit", trainer.current_epoch)
        self.began = clock()
        self.losses["bare loop"] = self.bare.epoch()[0]
        self.stop("bare loop", trainer.current_epoch + 1)
        self.began = clock()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the last epoch."""
        self.stop("fit", trainer.current_epoch)
        self.losses["fit"] = float(trainer.callback_metrics["val/loss"])

    def stop(self, side: str, epoch: int) -> None:
        """Note the seconds of an epoch, counted from 1, but for the first."""
        if epoch > 1:
            self.seconds[side].append(clock() - self.began)


def clock() -> float:
    """Seconds, when the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """One fit of rounds + 1 epochs."""
    small = ["--data.train_fraction=0.05", "--data.val_size=200"] if quick else []
    fit(f"--trainer.max_epochs={rounds + 1}", *small, "--trainer.callbacks+=benchmarks.fit.AgainstBareLoop")
    seconds, losses = AgainstBareLoop.seconds, AgainstBareLoop.losses
    yield Table(
        f"fit: epochs of the CNN on {type(fashion_mnist()).__name__}, batches of 128, {AgainstBareLoop.precision}",
        "s/epoch",
        {"cnnkit fit": seconds["fit"], "bare loop": seconds["bare loop"]},
        {"cnnkit fit / bare loop": ratios(seconds["fit"], seconds["bare loop"])},
        [
            "goal: at most 1.03; an epoch is training and validation, fit's also logs and checkpoints",
            "last validation loss: " + ", ".join(f"{side} {loss:.4f}" for side, loss in losses.items()),
        ],
    )
