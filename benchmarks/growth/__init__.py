"""How cnnkit's training epoch grows with images, classes and threads; a tiny net, so that the data path shows."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.common import Table, fresh, take_turns
from benchmarks.peers.watch import peak_memory
from cnnkit.data import ImageDataModule
from cnnkit.data.store import Store

ROUNDS = 3
SIZES, CLASSES, THREADS = (10_000, 100_000, 1_000_000), (10, 100, 1000), (1, 2)


class RandomImages(ImageDataModule):
    """Noise of 32x32 pixels in memory, through the door for a user's own arrays: a subclass with an `open`.

    Args:
        images: number of training images.
        classes: number of classes.
        **kwargs: as for every data module.
    """

    in_channels, image_size = 3, 32
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self, images: int, classes: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.count, self.num_classes = images, classes

    def open(self) -> Store:
        random = np.random.default_rng(0)
        images = torch.from_numpy(random.integers(0, 256, (self.count, 3, 32, 32), dtype=np.uint8))
        labels = torch.from_numpy(random.integers(0, self.num_classes, self.count))
        names = tuple(map(str, range(self.num_classes)))
        return Store("random", images, labels, images[:10], labels[:10], names, "", {})


def child(images: int, classes: int, threads: int) -> None:
    """What the fresh process does: one epoch after a few steps of warming up; prints its figures."""
    torch.set_num_threads(threads)
    data = RandomImages(images, classes, val_size=images // 10, augment=[], seed=0)
    store = data.open()
    data.open = lambda: store  # the making of the noise is not the split's time
    began = time.perf_counter()
    data.setup()
    split = time.perf_counter() - began
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = nn.Sequential(net, nn.Linear(8, classes))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    loader = data.train_dataloader()
    first, seen = 0.0, 0
    for epoch in range(2):
        loader.set_epoch(epoch)  # as the Trainer does: each epoch has another order
        began, worked = time.perf_counter(), time.process_time()
        for number, batch in enumerate(loader):
            if number == 0:
                first = time.perf_counter() - began
            inputs, labels = data.prepare(batch, training=True)
            F.cross_entropy(net(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            seen += len(labels) if epoch else 0
            if epoch == 0 and number == 20:
                break
        passed, worked = time.perf_counter() - began, time.process_time() - worked
    bytes_of_images = store.train_images.nbytes / 1e6
    figures = {"rate": seen / passed, "work": 1e6 * worked / seen, "split": 1e3 * split, "first": 1e3 * first}
    print(json.dumps(figures | {"above": peak_memory() - bytes_of_images}))


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All images by all classes by all threads, in turn."""
    if not Path("/proc/self/status").exists():
        print("\ngrowth: needs Linux's /proc/self/status; left out")
        return
    grid = itertools.product((1000, 3000) if quick else SIZES, (10,) if quick else CLASSES, (1,) if quick else THREADS)
    found: dict[str, list[dict[str, float]]] = {}
    sides = {}
    for images, classes, threads in grid:
        label = f"{images:,} images, {classes} classes, {threads} threads"
        code = f"from benchmarks.growth import child; child({images}, {classes}, {threads})"

        def side(label: str = label, code: str = code) -> float:
            found.setdefault(label, []).append(json.loads(fresh("-c", code)))
            return found[label][-1]["rate"]

        sides[label] = side
    rows = take_turns(sides, rounds)
    yield Table("growth: a training epoch of 32x32 images in batches of 128, a tiny net", "images/s", rows)
    for key, title, unit in (
        ("work", "CPU time of an image; other processes change it less than the rate", "us"),
        ("above", "peak memory (VmHWM) above the images' bytes", "MB"),
        ("split", "drawing the split", "ms"),
        ("first", "the wait for an epoch's first batch, with the shuffle", "ms"),
    ):
        yield Table(f"growth: {title}", unit, {label: [one[key] for one in found[label]] for label in rows})
