"""``fit`` as shipped against an ordinary Lightning script: torchvision image by image, the Trainer's defaults."""

import contextlib
import io
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.common import Table, fashion_mnist, fit, ratios, run_root, take_turns
from benchmarks.loader import BATCH, torchvision_loader
from cnnkit.models import CNN

ROUNDS = 4


class Rate(Callback):
    """Images a second of the second epoch's training: loading, steps, progress, logs; no validation, no checkpoint."""

    last: ClassVar[float] = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; the first epoch's figure is overwritten by the second's."""
        self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Read it."""
        if trainer.is_last_batch:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            type(self).last = (batch_idx + 1) * len(batch[0]) / (time.perf_counter() - self.began)


class OrdinaryModule(L.LightningModule):
    """The LightningModule of a tutorial, around the same net."""

    def __init__(self) -> None:
        super().__init__()
        self.net = CNN()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss and accuracy."""
        images, labels = batch
        logits = self.net(images)
        loss = F.cross_entropy(logits, labels)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", (logits.argmax(1) == labels).float().mean(), prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def ordinary_script(loader: DataLoader) -> float:
    """Two epochs with the Trainer's defaults: float32, progress bar, logger, checkpoints."""
    with run_root() as root, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trainer = L.Trainer(max_epochs=2, default_root_dir=root, callbacks=[Rate()])
        trainer.fit(OrdinaryModule(), loader)
    return Rate.last


def cnnkit_fit(steps: int) -> float:
    """Two epochs of ``python -m cnnkit fit`` by its defaults."""
    fit(
        "--trainer.max_epochs=2",
        f"--trainer.limit_train_batches={steps}",
        f"--data.batch_size={BATCH}",
        "--trainer.callbacks+=benchmarks.script.Rate",
    )
    return Rate.last


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Whole fits in turn."""
    steps = 2 if quick else 60
    data = fashion_mnist()
    data.setup()
    scripts = {
        f"script, {workers} workers": partial(ordinary_script, torchvision_loader(data, "v1", workers, steps))
        for workers in (0, 2)
    }
    rows = take_turns({"cnnkit fit": partial(cnnkit_fit, steps), **scripts}, rounds)
    best = [max(rates) for rates in zip(*(rows[label] for label in scripts), strict=True)]
    yield Table(
        f"script: training the CNN on {type(data).__name__}, batches of {BATCH}, {steps} steps an epoch",
        "images/s",
        rows,
        {"cnnkit fit / best script": ratios(rows["cnnkit fit"], best)},
        ["goal: at least 2.5 on a CPU with fast bfloat16"],
    )
