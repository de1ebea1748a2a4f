"""Augmentation of photos of 128 pixels in batches: cnnkit's transforms against torchvision's, image by image.

Both are measured in processor time on one thread: the cores that augment are those that train, and other processes on
the machine matter less than for elapsed time. For the presets a second table has the elapsed time.
"""

import resource
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.common import Table, ratios, take_turns
from cnnkit.allocator import keep_freed_memory
from cnnkit.transforms import (
    Augment,
    ColorJitter,
    Counter,
    GaussianBlur,
    Normalize,
    RandAugment,
    RandomErasing,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResizedCrop,
    RandomRotation,
    Transform,
    TrivialAugmentWide,
)

ROUNDS = 5
SIZE, STORED, BATCH = 128, 160, 128
JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Compose = Callable[[Tensor], Tensor]


def single() -> dict[str, tuple[Transform, Compose, int]]:
    """Each transform, torchvision's, and the size of the images."""
    blur = v2.RandomApply([v2.GaussianBlur(9, (0.1, 2.0))], 0.5)
    nearest = v2.InterpolationMode.BILINEAR
    return {
        "RandomResizedCrop": (RandomResizedCrop(), v2.RandomResizedCrop(SIZE, antialias=True), STORED),
        "ColorJitter": (ColorJitter(**JITTER), v2.ColorJitter(**JITTER), SIZE),
        "GaussianBlur": (GaussianBlur(9), blur, SIZE),
        "RandomRotation": (RandomRotation(15), v2.RandomRotation(15, nearest), SIZE),
        "RandomPerspective": (RandomPerspective(), v2.RandomPerspective(), SIZE),
        "RandAugment": (RandAugment(), v2.RandAugment(), SIZE),
        "TrivialAugmentWide": (TrivialAugmentWide(), v2.TrivialAugmentWide(), SIZE),
    }


def presets() -> dict[str, tuple[Augment, Compose]]:
    """Presets with normalization, without the mixes, and the same of torchvision."""
    crop, flip = partial(v2.RandomResizedCrop, SIZE, antialias=True), v2.RandomHorizontalFlip()
    ends = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    ours = {
        "light": [RandomResizedCrop(0.35), RandomHorizontalFlip()],
        "medium": [RandomResizedCrop(0.2), RandomHorizontalFlip(), ColorJitter(**JITTER)],
        "strong": [RandomResizedCrop(), RandomHorizontalFlip(), TrivialAugmentWide(), RandomErasing(0.1)],
    }
    theirs = {
        "light": [crop(scale=(0.35, 1)), flip, *ends],
        "medium": [crop(scale=(0.2, 1)), flip, v2.ColorJitter(**JITTER), *ends],
        "strong": [crop(), flip, v2.TrivialAugmentWide(), *ends, v2.RandomErasing(0.1)],
    }
    found = {}
    for name, transforms in ours.items():
        augment = Augment(transforms, Normalize(MEAN, STD))
        augment.set_size((SIZE, SIZE))
        found[name] = (augment, v2.Compose(theirs[name]))
    return found


class Photos(Dataset):
    """Images in memory, each transformed by torchvision when it is asked for."""

    def __init__(self, images: Tensor, transform: Compose, count: int) -> None:
        self.images, self.transform, self.count = images, transform, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index % len(self.images)])


def draw_photos(count: int, size: int) -> Tensor:
    """Smooth colored shapes with some noise, uint8 (count, 3, size, size)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    noise = 0.05 * torch.randn(count, 3, size, size, generator=generator)
    return ((smooth + noise).clamp(0, 1) * 255).to(torch.uint8)


def _measure_seconds() -> float:
    """The processor time of this process and of those workers that have ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def _rate(read_clock: Callable[[], float], work: Callable[[], int], threads: int) -> float:
    torch.set_num_threads(threads)
    began = read_clock()
    count = work()
    return count / (read_clock() - began)


def compare(
    name: str,
    ours: Callable[[Tensor, int], object],
    theirs: Compose,
    stored: int,
    rounds: int,
    quick: bool,
    threads: int = 1,
) -> Table:
    """One table: batches here, images one by one in this process, and in two workers.

    Args:
        name: of what is compared.
        ours: augments a batch in an epoch.
        theirs: augments an image.
        stored: pixels of a side.
        rounds: number of rounds.
        quick: tiny sizes.
        threads: 1: in processor time; more: in elapsed time, and for batches also with so many threads.
    """
    images = draw_photos(BATCH, stored)
    batches = 1 if quick else 4
    loaded = 1 if quick else 24  # so many that the start of the workers counts little

    def batched() -> int:
        for number in range(batches):
            ours(images, number)
        return batches * BATCH

    def one_by_one() -> int:
        count = BATCH // 8 if quick else BATCH
        torch.stack([theirs(image) for image in images[:count]])
        return count

    def in_workers() -> int:
        loader = DataLoader(Photos(images, theirs, loaded * BATCH), BATCH, num_workers=2)
        return sum(len(batch) for batch in loader)  # the workers end with the loop

    work = {"cnnkit, batches": batched, "torchvision v2, one by one": one_by_one}
    work |= {} if quick else {"torchvision v2, 2 workers": in_workers}
    clock = _measure_seconds if threads == 1 else time.perf_counter
    sides = {side: partial(_rate, clock, each, 1) for side, each in work.items()}
    if threads > 1:
        sides[f"cnnkit, {threads} threads"] = partial(_rate, clock, batched, threads)
    with torch.inference_mode():
        take_turns(sides, 1)  # warms the caches
        rows = take_turns(sides, rounds)
    best = [max(rates) for rates in zip(*(rows[side] for side in list(work)[1:]), strict=True)]
    found = {"cnnkit / best torchvision": ratios(rows["cnnkit, batches"], best)}
    unit = "images/core-s" if threads == 1 else "images/s"
    return Table(f"augment: {name}, {stored} pixels to {SIZE}", unit, rows, found, ["goal: at least 5"])


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """The presets, then each transform alone."""
    keep_freed_memory()  # as `fit` does; here it also helps torchvision
    threads = torch.get_num_threads()
    try:
        yield from _compare_all(rounds, quick, threads)
    finally:
        torch.set_num_threads(threads)


def _compare_all(rounds: int, quick: bool, threads: int) -> Iterator[Table]:
    index, labels = torch.arange(BATCH), torch.zeros(BATCH, dtype=torch.int64)
    for name, (augment, theirs) in presets().items():

        def prepare(images: Tensor, epoch: int, augment: Augment = augment) -> object:
            return augment(images, labels, Counter(0, epoch, index), 0, 1)

        yield compare(name, prepare, theirs, STORED, rounds, quick)
        if threads > 1:
            yield compare(f"{name}, elapsed time", prepare, theirs, STORED, rounds, quick, threads)
    for name, (transform, theirs, stored) in single().items():
        if isinstance(transform, RandomResizedCrop):
            transform.size = (SIZE, SIZE)

        def change(images: Tensor, epoch: int, transform: Transform = transform) -> object:
            return transform(images, Counter(0, epoch, index))

        yield compare(name, change, theirs, stored, rounds, quick)
