"""What a training step costs beside its arithmetic: a tiny net, one thread, four ways to train it.

The arithmetic of an MLP of 16 units takes a tenth of a millisecond, so the images per second show the work of the
loop, of Lightning, of the task and of the callbacks. All sides use the same batches and optimizer.
"""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional as F

from benchmarks.common import Table, fashion_mnist, fit, ratios, take_turns
from cnnkit import ClassificationTask
from cnnkit.models import MLP

ROUNDS = 5
BATCH, UNITS = 128, 16
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,
}


class PlainModule(L.LightningModule):
    """The shortest LightningModule that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MLP(hidden_sizes=(UNITS,))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in a task."""
        return torch.optim.Adam(self.parameters(), fused=True)


class StepClock(Callback):
    """Images a second of the process's CPU time, over the steps of all epochs but the first, without validation."""

    rate = 0.0

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin."""
        self.began, self.first = time.process_time(), trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Note the time; an epoch's validation comes after its last step."""
        if trainer.is_last_batch and trainer.current_epoch:
            self.seconds += time.process_time() - self.began
            self.steps += trainer.global_step - self.first
            type(self).rate = self.steps * BATCH / self.seconds


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All sides in turn, in this process."""
    epochs, threads = 3, torch.get_num_threads()
    small: dict[str, Any] = {"train_fraction": 0.02 if quick else 0.5, "val_size": 1000, "drop_last": True}
    torch.set_num_threads(1)
    sides: dict[str, Callable[[], float]] = {
        "bare loop": lambda: bare_loop(epochs, small),
        "plain LightningModule": lambda: in_trainer(PlainModule(), epochs, small),
        "ClassificationTask": lambda: in_trainer(ClassificationTask(MLP(hidden_sizes=(UNITS,))), epochs, small),
        "cnnkit fit": lambda: shipped(epochs, small),
    }
    try:
        rows = take_turns(sides, rounds)
    finally:
        torch.set_num_threads(threads)
    plain = rows["plain LightningModule"]
    yield Table(
        f"tax: MLP of {UNITS} units on {type(fashion_mnist()).__name__}, batches of {BATCH}, one thread, 32-true",
        "images/s",
        rows,
        {f"{name} / plain LightningModule": ratios(rows[name], plain) for name in rows if rows[name] is not plain},
        ["by CPU time of the process, over the steps of an epoch; fit also logs, checks and draws"],
    )


def bare_loop(epochs: int, small: dict[str, Any]) -> float:
    """What one would write by hand."""
    data = fashion_mnist(batch_size=BATCH, **small)
    data.prepare_data()
    data.setup("fit")
    batches, net = data.train_dataloader(), MLP(hidden_sizes=(UNITS,))
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    began, count = 0.0, 0
    for epoch in range(epochs):
        if epoch == 1:
            began = time.process_time()
        for batch in batches:
            images, labels = data.prepare(batch, training=True)
            optimizer.zero_grad()
            loss: Tensor = F.cross_entropy(net(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            count += BATCH if epoch else 0
    return count / (time.process_time() - began)


def in_trainer(module: L.LightningModule, epochs: int, small: dict[str, Any]) -> float:
    """A trainer that does nothing else."""
    with contextlib.redirect_stderr(io.StringIO()):
        trainer = L.Trainer(max_epochs=epochs, callbacks=[StepClock()], **QUIET)
        trainer.fit(module, fashion_mnist(batch_size=BATCH, **small))
    return StepClock.rate


def shipped(epochs: int, small: dict[str, Any]) -> float:
    """The command."""
    fit(
        "--model.net=MLP",
        f"--model.net.hidden_sizes=[{UNITS}]",
        "--trainer.precision=32-true",
        f"--trainer.max_epochs={epochs}",
        f"--data.batch_size={BATCH}",
        *(f"--data.{key}={value}" for key, value in small.items()),
        "--trainer.callbacks+=benchmarks.tax.StepClock",
    )
    return StepClock.rate
