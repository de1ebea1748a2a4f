"""How long one waits: fresh processes, from their start to their answer or to the first training step."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.common import Table, fashion_mnist, fit_arguments, fresh, run_root, take_turns

ROUNDS = 5


class FirstStep(Callback):
    """Notes when the first batch is ready and when the first step is done.

    Args:
        file: where to.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The batch is there."""
        self.file.write_text(f"{time.time()} ", encoding="ascii")

    def on_train_batch_end(self, *args: Any) -> None:
        """The step is done, the pictures for TensorBoard are drawn."""
        with self.file.open("a", encoding="ascii") as file:
            file.write(str(time.time()))


def wall_time(*args: str) -> float:
    """Seconds of a fresh Python, start to end."""
    began = time.perf_counter()
    fresh(*args)
    return time.perf_counter() - began


def first_step() -> tuple[float, float]:
    """Seconds from the start of a fit to its first batch, and to the end of its first step."""
    with run_root() as root:
        file = root.resolve() / "times"
        words = ["--trainer.callbacks+=benchmarks.start.FirstStep", f"--trainer.callbacks.file={file}"]
        began = time.time()
        fresh("-m", "cnnkit", "fit", *fit_arguments(root.resolve()), "--trainer.max_steps=1", *words)
        batch, step = map(float, file.read_text(encoding="ascii").split())
    return batch - began, step - began


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All commands in turn."""
    commands = {
        "python -c pass": ("-c", "pass"),
        "cnnkit --version": ("-m", "cnnkit", "--version"),
        "cnnkit --help": ("-m", "cnnkit", "--help"),
        "cnnkit fit --help": ("-m", "cnnkit", "fit", "--help"),
        "import torch": ("-c", "import torch"),
    }
    if not quick:
        commands["import what fit needs"] = ("-c", "import cnnkit.cli.fit.session")
    sides = {name: lambda words=words: wall_time(*words) for name, words in commands.items()}
    steps: list[tuple[float, float]] = []
    sides["fit, first batch ready"] = lambda: steps.append(first_step()) or steps[-1][0]
    rows = take_turns(sides, rounds)
    rows["fit, first step done"] = [step for _, step in steps]
    yield Table(
        f"start: fresh processes; fit on {type(fashion_mnist()).__name__}, by its defaults",
        "s",
        rows,
        notes=["goal: --help and --version under 0.5 s; the first step also draws TensorBoard's pictures"],
    )
