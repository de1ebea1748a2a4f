"""Training batches, cropped, mirrored and normalized: cnnkit's loader against torchvision's way, image by image."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torchvision
import torchvision.transforms as v1
from torch.utils.data import DataLoader, RandomSampler
from torchvision.transforms import v2

from benchmarks.common import Table, cifar10, fashion_mnist, ratios, take_turns
from cnnkit.data import ImageDataModule

ROUNDS = 5
BATCH = 128


class FashionMNISTInMemory(torchvision.datasets.FashionMNIST):
    """torchvision's own data set, whose arrays are handed over instead of read from its files."""

    def __init__(self, data: ImageDataModule, transform: Callable[[Any], Any]) -> None:
        self.data, self.targets = data.store.train_images[:, 0].clone(), data.store.train_labels
        self.transform, self.target_transform = transform, None


class CIFAR10InMemory(torchvision.datasets.CIFAR10):
    """The same of CIFAR-10, which torchvision keeps as a NumPy array (N, H, W, C) and a list."""

    def __init__(self, data: ImageDataModule, transform: Callable[[Any], Any]) -> None:
        self.data = np.ascontiguousarray(data.store.train_images.permute(0, 2, 3, 1).numpy())
        self.targets = data.store.train_labels.tolist()
        self.transform, self.target_transform = transform, None


def transform(spelling: str, data: ImageDataModule) -> Callable[[Any], Any]:
    """The data module's augmentation in one of the three usual spellings."""
    tv = v1 if spelling == "v1" else v2
    crop = {"padding": 2} if data.in_channels == 1 else {"padding": 4, "padding_mode": "reflect"}
    augment = [tv.RandomCrop(data.image_size, **crop), tv.RandomHorizontalFlip()]
    normalize = tv.Normalize(data.mean, data.std)
    if spelling == "v1":
        return v1.Compose([*augment, v1.ToTensor(), normalize])
    to_float = v2.ToDtype(torch.float32, scale=True)
    if spelling == "v2 on tensors":
        return v2.Compose([v2.ToImage(), *augment, to_float, normalize])
    return v2.Compose([*augment, v2.ToImage(), to_float, normalize])


def torchvision_loader(data: ImageDataModule, spelling: str, workers: int, batches: int) -> DataLoader:
    """What a tutorial writes, one `__getitem__` an image; ends early, so that no worker goes on behind our back."""
    dataset = (FashionMNISTInMemory if data.in_channels == 1 else CIFAR10InMemory)(data, transform(spelling, data))
    sampler = RandomSampler(dataset, num_samples=batches * BATCH)
    return DataLoader(dataset, BATCH, sampler=sampler, num_workers=workers, persistent_workers=workers > 0)


def images_per_second(batches: Iterator[Any]) -> float:
    """The rate from the first batch on: neither the start of workers nor the shuffling counts."""
    next(batches)
    began = time.perf_counter()
    images = sum(len(images) for images, _ in batches)
    return images / (time.perf_counter() - began)


def compare(data: ImageDataModule, name: str, goal: int, rounds: int, quick: bool) -> Table:
    """One data set's table."""
    data.setup()
    batches = data.train_dataloader()

    def ours() -> float:
        prepared = (data.prepare(batch, training=True) for batch in batches)
        return images_per_second(islice(prepared, 5) if quick else prepared)

    def theirs(loader: DataLoader) -> float:
        return images_per_second(iter(loader))

    loaders = {
        f"torchvision {spelling}, {workers} workers": torchvision_loader(data, spelling, workers, 5 if quick else 81)
        for spelling in (("v1",) if quick else ("v1", "v2", "v2 on tensors"))
        for workers in (0, 2)
    }
    sides = {"cnnkit": ours, **{label: partial(theirs, loader) for label, loader in loaders.items()}}
    with torch.inference_mode():
        take_turns(sides, 1)  # starts the workers, warms the caches
        rows = take_turns(sides, rounds)
    best = [max(rates) for rates in zip(*(rows[label] for label in loaders), strict=True)]
    return Table(
        f"loader: {name}, batches of {BATCH}",
        "images/s",
        rows,
        {"cnnkit / best torchvision": ratios(rows["cnnkit"], best)},
        [f"goal: at least {goal}"],
    )


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """Both data sets."""
    data = fashion_mnist(batch_size=BATCH)
    yield compare(data, type(data).__name__, 50, rounds, quick)
    data = cifar10(batch_size=BATCH)
    yield compare(data, type(data).__name__, 20, rounds, quick)
