"""How long one waits: fresh processes, from their start to their answer or to the first training step."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torchvision.io import write_png

from benchmarks.common import Table, fashion_mnist, fit, fit_arguments, fresh, ratios, run_root, take_turns

ROUNDS = 5
BASE, OURS = "import torch, lightning.pytorch", "what fit imports, as the command does"
FIRST = "fit, first batch ready"
_AS_COMMAND = "from cnnkit.allocator import import_quickly as q\nwith q(): import cnnkit.cli.fit.command"
TAIL = "import time; print(time.process_time())"
STUDY = """
config: quickstart
question: How long does a run take beside its training?
overrides: {trainer.max_steps: 1, trainer.limit_val_batches: 1, data: DATA, model.net: MLP}
factors: {width: {narrow: {model.net.hidden_sizes: [4]}, wide: {model.net.hidden_sizes: [8]}}}
seeds: SEEDS
"""


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
        self.file.write_text(f"{time.process_time()} {time.time()} ", encoding="ascii")

    def on_train_batch_end(self, *args: Any) -> None:
        """The step is done, the pictures for TensorBoard are drawn."""
        with self.file.open("a", encoding="ascii") as file:
            file.write(str(time.time()))


def wall_time(*args: str) -> float:
    """Seconds of a fresh Python, start to end."""
    began = time.perf_counter()
    fresh(*args)
    return time.perf_counter() - began


def first_step() -> tuple[float, float, float]:
    """Seconds from the start of a fit to its first batch, to the end of its first step; CPU time to the batch."""
    with run_root() as root:
        file = root.resolve() / "times"
        words = ["--trainer.callbacks+=benchmarks.start.FirstStep", f"--trainer.callbacks.file={file}"]
        began = time.time()
        fresh("-m", "cnnkit", "fit", *fit_arguments(root.resolve()), "--trainer.max_steps=1", *words)
        cpu, batch, step = map(float, file.read_text(encoding="ascii").split())
    return batch - began, step - began, cpu


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
        commands["what fit imports"] = ("-c", "import cnnkit.cli.fit.session")
    sides = {name: lambda words=words: wall_time(*words) for name, words in commands.items()}
    steps: list[tuple[float, float, float]] = []
    sides[FIRST] = lambda: steps.append(first_step()) or steps[-1][0]
    rows = take_turns(sides, rounds)
    rows["fit, first step done"] = [step for _, step, _ in steps]
    yield Table(
        f"start: fresh processes; fit on {type(fashion_mnist()).__name__}, by its defaults",
        "s",
        rows,
        notes=["goal: --help and --version under 0.5 s; the first step also draws TensorBoard's pictures"],
    )
    yield imports(rounds)
    yield predict(rounds, quick)
    yield study(rounds, seeds=1 if quick else 4)


def imports(rounds: int) -> Table:
    """What ours add to the imports of the libraries, by CPU time, before the process ends."""
    lines = {"import torch": "import torch", BASE: BASE, OURS: _AS_COMMAND}
    sides = {name: lambda line=line: float(fresh("-c", f"{line}\n{TAIL}")) for name, line in lines.items()}
    rows = take_turns({**sides, FIRST: lambda: first_step()[2]}, rounds)
    return Table(
        "start: CPU time", "s", rows, {f"{name} / {BASE}": ratios(rows[name], rows[BASE]) for name in (OURS, FIRST)}
    )


def cpu_time(work: Callable[[], object]) -> float:
    """Seconds of CPU time of the processes that the work starts."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    work()
    return spent() - before


def predict(rounds: int, quick: bool) -> Table:
    """Classify one image file with a run's net."""
    with run_root() as root:
        fit("--trainer.max_steps=1", "--name=one", f"--trainer.default_root_dir={root}")
        file = root.resolve() / "image.png"
        write_png(torch.zeros(1, 28, 28, dtype=torch.uint8), str(file))
        words = ("-m", "cnnkit", "predict", "--run", str((root / "one").resolve()), "--images", str(file), "-o")
        words = (*words, str(root.resolve() / "predictions.csv"))
        sides = {"wall time": lambda: wall_time(*words), "CPU time": lambda: cpu_time(lambda: fresh(*words))}
        return Table("start: predict of one image", "s", take_turns(sides, rounds))


def study(rounds: int, seeds: int) -> Table:
    """A study of tiny runs in one process: fit, test, and what a study does around them."""

    def once() -> float:
        with run_root() as root:
            text = STUDY.replace("SEEDS", str(seeds)).replace("DATA", type(fashion_mnist()).__name__)
            (root / "study.yaml").write_text(text, encoding="utf-8")
            began = time.perf_counter()
            fresh("-m", "cnnkit", "study", str(root.resolve()), "--root", str(root.resolve() / "runs"))
            seconds = time.perf_counter() - began
            found = [json.loads(file.read_text(encoding="utf-8")) for file in root.rglob("manifest.json")]
            return (seconds - sum(each["times"]["train_seconds"] for each in found)) / len(found)

    rows = take_turns({"wall time a run, without training": once}, rounds)
    return Table(
        f"start: a study of {2 * seeds} runs of one step", "s", rows, notes=["the imports are shared; goal: 2 s"]
    )
