"""A folder of JPEGs: seconds to the first batch of a first and a second run, and images per second."""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as TorchvisionFolder
from torchvision.transforms import v2

from benchmarks.common import Table, fresh, take_turns

ROUNDS = 5
SIZE, BATCH, WORKERS = 128, 32, 2
SETTINGS = {"cnnkit, kept on disk": "disk", "cnnkit, kept in memory": "memory", "cnnkit, cache: none": "none"}
TORCHVISION = "torchvision, 2 workers"


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Two tables from the same processes: the wait for the first batch, and the second epoch."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        root, found = Path(folder, "photos"), {}
        count = draw_photos(root, 60 if quick else 2000)
        for cache in SETTINGS.values():  # a second run finds what a first one has left
            measure(root, Path(folder, cache), cache)

        def wait(name: str, data_dir: Path, cache: str) -> float:
            seconds, speed = measure(root, data_dir, cache)
            found.setdefault(name, []).append(speed)
            return seconds

        def make(run: str, name: str, cache: str) -> Callable[[], float]:
            if run == "second":
                return lambda: wait(f"{name}, {run} run", Path(folder, cache), cache)

            def first() -> float:
                with tempfile.TemporaryDirectory(dir=folder) as empty:
                    return wait(f"{name}, {run} run", Path(empty), cache)

            return first

        sides = {
            f"{name}, {run} run": make(run, name, cache)
            for run in ("first", "second")
            for name, cache in SETTINGS.items()
        }
        sides[TORCHVISION] = lambda: wait(TORCHVISION, Path(folder), "torchvision")
        rows = take_turns(sides, rounds)
        title = f"{count:,} JPEGs of 256 to 512 pixels at {SIZE} pixels, batches of {BATCH}"
        yield Table(f"folder: from the data module to its first batch, without imports; {title}", "s", rows)
        fastest = found["cnnkit, kept on disk, second run"]
        ratios = {
            f"kept on disk / {name}": [a / b for a, b in zip(fastest, found[name], strict=True)]
            for name in (TORCHVISION, "cnnkit, cache: none, second run")
        }
        yield Table(f"folder: the second epoch, cropped, flipped and normalized; {title}", "images/s", found, ratios)


def draw_photos(root: Path, count: int) -> int:
    """Write JPEGs of smooth shapes and noise in ten classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = rng.integers(256, 513, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((width, height), 3)
        pixels = np.asarray(coarse, dtype=np.float32) + rng.normal(0, 12, (height, width, 3))
        path = root / f"class{number % 10}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return count


def measure(root: Path, data_dir: Path, cache: str) -> tuple[float, float]:
    """Seconds to the first batch and images per second in the second epoch, of a fresh process."""
    line = f"from benchmarks.folder import child; child({str(root)!r}, {str(data_dir)!r}, {cache!r})"
    first, speed = fresh("-c", line).split()[-2:]
    return float(first), float(speed)


def child(root: str, data_dir: str, cache: str) -> None:
    """What the fresh process does."""
    began = time.perf_counter()
    read = read_torchvision(root) if cache == "torchvision" else read_cnnkit(root, data_dir, cache)
    epoch = read()
    next(epoch)
    first = time.perf_counter() - began
    for _ in epoch:
        pass
    began = time.perf_counter()
    seen = sum(len(images) for images in read())
    print(first, seen / (time.perf_counter() - began))


def read_cnnkit(root: str, data_dir: str, cache: str) -> Callable[[], Iterator[torch.Tensor]]:
    """Return what reads an epoch as the data module's defaults load them."""
    from cnnkit.data import ImageFolder

    with contextlib.redirect_stderr(io.StringIO()):
        data = ImageFolder(
            root, SIZE, batch_size=BATCH, data_dir=data_dir, cache=cache, num_workers=WORKERS, val_size=0, test_size=0
        )
        data.setup()
        batches = data.train_dataloader()
    return lambda: (data.prepare(batch, training=True)[0] for batch in batches)


def read_torchvision(root: str) -> Callable[[], Iterator[torch.Tensor]]:
    """Return what reads an epoch as a tutorial loads it, with persistent workers."""
    steps = [v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.RandomCrop(SIZE, padding=SIZE // 8, padding_mode="reflect")]
    steps += [v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    steps += [v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    images = TorchvisionFolder(root, v2.Compose(steps))
    loader = DataLoader(images, BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True)
    return lambda: (images for images, _ in loader)
