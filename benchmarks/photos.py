"""A folder of photos, from scratch: cnnkit's card for folders against the defaults of timm, torchvision and fastai."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import Table, cifar10, ratios, take_turns
from benchmarks.peers import HOME, set_up, train
from benchmarks.peers.watch import Job

ROUNDS = 3
TRAIN, VAL, SIDE = 320, 80, 256  # images a class, and their pixels
FIRST = 1000  # in each class; the recipe of the card was chosen with those before
EPOCHS, BATCH, WORKERS = 2, 32, 2
SGD = "cnnkit, bf16, but SGD as timm"
BARE = "a bare step on one batch, bf16"
# The label, the module, and whether it trains in bfloat16.
PEERS = {
    "cnnkit, bf16": ("photos_cnnkit", True),
    SGD: ("photos_cnnkit_sgd", True),
    "cnnkit, float32": ("photos_cnnkit", False),
    "timm, bf16, channels_last": ("photos_timm", True),
    "timm, float32": ("photos_timm", False),
    "torchvision, float32": ("photos_torchvision", False),
    "fastai, float32": ("photos_fastai", False),
    BARE: ("photos_bare", True),
}
FIGURES = {
    "rate": ("training, from the second epoch on", "images/s"),
    "first_step": ("from the start of the process to the end of the first step", "s"),
    "whole": ("from the start of the process to the end of the second epoch's validation", "s"),
    "equal_epochs": ("validation accuracy after two epochs", "%"),
}


def run(rounds: int, quick: bool) -> Iterator[Table]:
    """All sides in turn, with another seed in each round, a table for each figure."""
    python = Path(sys.executable) if quick else set_up()
    has_fastai = not quick and bool(list(HOME.glob("lib/python*/site-packages/fastai-*.dist-info")))
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        write_photos(Path(folder, "photos"), *((4, 4) if quick else (TRAIN, VAL)))
        found: dict[str, list[dict[str, float]]] = {}
        sides: dict[str, Callable[[], float]] = {}
        for label, (module, bf16) in PEERS.items():
            if module == "photos_fastai" and not has_fastai:
                continue

            def side(label: str = label, module: str = module, bf16: bool = bf16) -> float:
                seed = len(found.setdefault(label, []))
                job = Job(folder, EPOCHS, 0.0, bf16, quick, batch=BATCH, workers=WORKERS, max_epochs=EPOCHS, seed=seed)
                found[label].append(train(python, module, job))
                print(f"  {label}: {found[label][-1]}", flush=True)
                return found[label][-1]["rate"]

            sides[label] = side
        take_turns(sides, rounds)
    yield from tables(found)


def tables(found: dict[str, list[dict[str, float]]]) -> Iterator[Table]:
    """One for each figure; the ratios are of the same round."""
    for key, (title, unit) in FIGURES.items():
        rows = {
            label: [figures[key] for figures in found[label]]
            for label in PEERS
            if label in found and (key == "rate" or label != BARE)
        }
        over = {}
        if key == "rate":
            ours = rows[SGD]
            others = [rates for label, rates in rows.items() if label != BARE and not label.startswith("cnnkit")]
            over[f"{SGD} / best other"] = ratios(ours, [max(rates) for rates in zip(*others, strict=True)])
            over[f"{SGD} / bare step"] = ratios(ours, rows[BARE])
        shared = [f"{name} {metadata.version(name)}" for name in ("timm", "torchvision")] if key == "rate" else []
        yield Table(f"photos: {title}", unit, rows, over, [", ".join(shared)] if shared else [])


def write_photos(root: Path, train: int, val: int) -> None:
    """Write JPEGs of 256 pixels: images of CIFAR-10, enlarged, in ``train/<class>`` and ``val/<class>``."""
    data = cifar10()
    data.setup()
    assert data.store is not None
    labels = data.store.train_labels
    for number, name in enumerate(data.class_names):
        chosen = torch.nonzero(labels == number).flatten()[FIRST : FIRST + train + val]
        for place, index in enumerate(chosen.tolist()):
            pixels = data.store.train_images[index].permute(1, 2, 0).numpy().astype(np.uint8)
            path = root / ("train" if place < train else "val") / name / f"{index:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
