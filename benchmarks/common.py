"""What the benchmarks share: taking turns, tables, the machine's description, data, fits and fresh processes."""

import contextlib
import io
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cnnkit.cli import main as cnnkit_main
from cnnkit.data import CIFAR10, FashionMNIST, FashionMNISTSample, ImageDataModule
from cnnkit.data.originals.sources import find_source
from cnnkit.data.store import Store

ROOT = Path(__file__).parents[1]
REAL_DATA = bool(os.environ.get("CNNKIT_DATA_DIR"))


@dataclass
class Table:
    """What one benchmark found: a row of figures for each side, one figure a round, and what they come to."""

    title: str
    unit: str
    rows: dict[str, list[float]]
    ratios: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        width = max(map(len, [*self.rows, *self.ratios])) + 2
        lines = [self.title, f"  {'':{width}}{self.unit:>12}  (min - max)"]
        lines += [f"  {name:{width}}{spread(figures)}" for name, figures in self.rows.items()]
        lines += [f"  {name:{width}}{spread(figures)}  per round" for name, figures in self.ratios.items()]
        return "\n".join(lines + [f"  {note}" for note in self.notes])


def spread(figures: list[float]) -> str:
    """Median and range."""
    style = ",.0f" if max(figures) >= 1000 else ".1f" if max(figures) >= 20 else ".3f"
    middle, low, high = statistics.median(figures), min(figures), max(figures)
    return f"{middle:>12{style}}  ({low:{style}} - {high:{style}})"


def take_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every side once a round, every other round in reverse: a drift of the machine then hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            found[name].append(sides[name]())
    return found


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def environment() -> dict[str, str]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        text = info.read_text(encoding="utf-8", errors="replace")
        names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
        fast = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in text]
        cpu = f"{names[0] if names else cpu}, {os.cpu_count()} cores {' '.join(fast)}".strip()
    return {
        "cpu": cpu,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "data": "real" if REAL_DATA else "the bundled sample and made-up images (CNNKIT_DATA_DIR is not set)",
    }


class MadeUpCIFAR10(CIFAR10):
    """Noise in the shape of CIFAR-10."""

    def open(self) -> Store:
        images = torch.randint(256, (60_000, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(60_000) % 10
        names = find_source("cifar10").class_names
        return Store("made_up", images[:50_000], labels[:50_000], images[50_000:], labels[50_000:], names, "", {})


def fashion_mnist(**settings: object) -> ImageDataModule:
    """Fashion-MNIST, or its sample."""
    return FashionMNIST(**settings) if REAL_DATA else FashionMNISTSample(**settings)


def cifar10(**settings: object) -> ImageDataModule:
    """CIFAR-10, or noise of its shape."""
    return CIFAR10(**settings) if REAL_DATA else MadeUpCIFAR10(**settings)


@contextlib.contextmanager
def run_root() -> Iterator[Path]:
    """A folder for runs, on the disk where a user's runs are: saving a checkpoint waits for the disk."""
    Path("runs").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir="runs") as folder:
        yield Path(folder)


def fit(*args: str) -> None:
    """``cnnkit fit`` as shipped, on Fashion-MNIST by its defaults, in this process."""
    with run_root() as root, contextlib.redirect_stdout(io.StringIO()):
        code = cnnkit_main(["fit", *fit_arguments(root), *args])
    if code:
        raise RuntimeError(f"fit ended with exit code {code}")


def fit_arguments(root: Path) -> list[str]:
    """The data, and where the run folder goes."""
    return ["--data", type(fashion_mnist()).__name__, f"--trainer.default_root_dir={root}"]


def fresh(*args: str) -> str:
    """Run a fresh Python and return what it prints."""
    done = subprocess.run([sys.executable, *args], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout
