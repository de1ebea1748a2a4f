"""A folder of JPEGs: seconds to the first batch and through the first epoch, of a first and a second run; speed."""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as TorchvisionFolder
from torchvision.transforms import v2

from benchmarks.common import Table, fresh, ratios, take_turns

ROUNDS = 5
SIZE, BATCH, WORKERS = 128, 32, 2
SETTINGS = {"cnnkit, kept on disk": "disk", "cnnkit, kept in memory": "memory", "cnnkit, cache: none": "none"}
TORCHVISION = "torchvision, 2 workers"


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Three tables from the same processes."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        root = Path(folder, "photos")
        count = draw_photos(root, 60 if quick else 2000)
        found: dict[str, dict[str, list[float]]] = {"epoch": {}, "speed": {}}

        def measure(name: str, cache: str, data_dir: Path) -> float:
            line = f"from benchmarks.folder import child; child({str(root)!r}, {str(data_dir)!r}, {cache!r})"
            first, epoch, speed = map(float, fresh("-c", line).split()[-3:])
            found["epoch"].setdefault(name, []).append(epoch)
            found["speed"].setdefault(name, []).append(speed)
            return first

        def run_first(name: str, cache: str) -> float:
            with tempfile.TemporaryDirectory(dir=folder) as empty:
                return measure(name, cache, Path(empty))

        sides: dict[str, Callable[[], float]] = {}
        for name, cache in SETTINGS.items():
            sides[f"{name}, first run"] = partial(run_first, f"{name}, first run", cache)
            sides[f"{name}, second run"] = partial(measure, f"{name}, second run", cache, Path(folder, cache))
            measure("warm-up", cache, Path(folder, cache))  # a second run finds what a first one has left
        sides[TORCHVISION] = partial(measure, TORCHVISION, "torchvision", Path(folder))
        for figures in found.values():
            figures.clear()
        rows = take_turns(sides, rounds)
        what = f"{count:,} JPEGs of 256 to 512 pixels at {SIZE} pixels, batches of {BATCH}"
        yield Table(f"folder: from the data module to its first batch, without imports; {what}", "s", rows)
        yield Table("folder: to the end of the first epoch", "s", found["epoch"])
        speed, fastest = found["speed"], found["speed"]["cnnkit, kept on disk, second run"]
        others = (TORCHVISION, "cnnkit, cache: none, second run")
        compared = {f"kept on disk / {name}": ratios(fastest, speed[name]) for name in others}
        yield Table("folder: the second epoch, cropped, flipped and normalized", "images/s", speed, compared)


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


def child(root: str, data_dir: str, cache: str) -> None:
    """What the fresh process does."""
    began = time.perf_counter()
    read = read_torchvision(root) if cache == "torchvision" else read_cnnkit(root, data_dir, cache)
    epoch = read()
    next(epoch)
    first = time.perf_counter() - began
    for _ in epoch:
        pass
    whole = time.perf_counter() - began
    began = time.perf_counter()
    seen = sum(len(images) for images in read())
    print(first, whole, seen / (time.perf_counter() - began))


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
