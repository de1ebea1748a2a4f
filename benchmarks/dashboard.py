"""What all that TensorBoard shows costs: epochs of one fit with it and without it in turn, and the time of each part.

A fit's epoch lasts from one `on_train_epoch_start` to the next. The first one is warm-up, and drawn, too; the last one
is always drawn.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.common import Table, fashion_mnist, fit, ratios
from benchmarks.fit import clock
from cnnkit.dashboards.watch import PARTS

ROUNDS = 6


class WithAndWithout(Callback):
    """Takes the parts of the dashboard away for every other epoch; in the last one they are there."""

    seconds: ClassVar[dict[str, list[float]]] = {}
    parts: ClassVar[dict[str, float]] = {}
    total: ClassVar[float] = 0.0  # of the epochs with them, the first one too, and of the end of the run
    precision: ClassVar[str] = ""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the watches."""
        type(self).seconds = {"with": [], "without": []}
        type(self).precision = str(trainer.precision)
        self.all = list(trainer.callbacks)
        names = {kind: name for name, kind in PARTS.items()}
        watched = [c for c in self.all if type(c) in names]
        self.rest = [c for c in self.all if c not in watched]
        type(self).parts = {names[type(c)]: 0.0 for c in watched}
        type(self).total = 0.0
        for callback in watched:
            for hook in hooks_of(callback):
                setattr(callback, hook, self.timed(getattr(callback, hook), names[type(callback)]))
        self.side, self.began = "", clock()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same, its seconds counted for a part."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.parts[name] += clock() - began

        return run

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End one side, begin the other: with, without, without, with, ... from the end of the run on."""
        self.stop()
        left = trainer.max_epochs - 1 - trainer.current_epoch
        self.side = "without" if left % 4 in (1, 2) else "with"
        if trainer.current_epoch == 0:
            self.side = "warm-up"
        trainer.callbacks = self.rest if self.side == "without" else self.all
        self.began = clock()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the last epoch."""
        self.stop()
        self.began = clock()

    def stop(self) -> None:
        """Note the seconds of an epoch."""
        seconds = clock() - self.began
        if self.side in self.seconds:
            self.seconds[self.side].append(seconds)
        if self.side and self.side != "without":
            type(self).total += seconds


def hooks_of(callback: Callback) -> list[str]:
    """Names of the hooks that a callback has of its own."""
    return [n for n in dir(Callback) if n.startswith("on_") and getattr(type(callback), n) is not getattr(Callback, n)]


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """One fit of 2 rounds + 1 epochs."""
    small = ["--data.train_fraction=0.05", "--data.val_size=200"] if quick else []
    fit(f"--trainer.max_epochs={2 * rounds + 1}", *small, "--trainer.callbacks+=benchmarks.dashboard.WithAndWithout")
    found, parts = WithAndWithout.seconds, WithAndWithout.parts
    about = f"the CNN on {type(fashion_mnist()).__name__}, batches of 128, {WithAndWithout.precision}"
    yield Table(
        f"dashboard: epochs of {about}",
        "s/epoch",
        {"with it": found["with"], "without it": found["without"]},
        {"with it / without it": ratios(found["with"], found["without"])},
        ["goal: at most 1.03; an epoch is training and validation with all else that fit does"],
    )
    total = WithAndWithout.total + parts.get("embeddings", 0.0)
    shares = {name: [100 * seconds / total] for name, seconds in sorted(parts.items(), key=lambda part: -part[1])}
    yield Table(
        f"dashboard: where the time goes, of the {rounds + 1} epochs with it and the end of the run, {total:.1f} s",
        "% of them",
        {**shares, "together": [sum(share for (share,) in shares.values())]},
        {},
        ["goal: at most 3 % together; drawn in the first epoch and the last, and between them while time is left"],
    )
