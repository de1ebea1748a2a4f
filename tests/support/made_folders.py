"""Folders of small images, and what a data module makes of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cnnkit.data import ImageFolder

COLORS = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40)}


def fill(folder: Path, counts: dict[str, int], seed: int = 0) -> None:
    """Noisy squares of the color that the class is named after, every other one a JPEG."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.normal(0, 40, (12, 16, 3)) + COLORS[name]
            image = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{i:03}.{'jpg' if i % 2 else 'png'}")


def files_of(data: ImageFolder) -> dict[str, list[str]]:
    data.setup()
    store = data.store
    assert store is not None
    parts = {
        "train": (store.train_images, data.train_indices),
        "val": (store.train_images, data.val_indices),
        "test": (store.test_images, torch.arange(len(store.test_labels))),
    }
    return {
        part: [images.files[i].relative_to(data.root).as_posix() for i in at] for part, (images, at) in parts.items()
    }  # type: ignore[attr-defined]
