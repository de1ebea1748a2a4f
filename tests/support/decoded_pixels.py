"""Files of images that change, and whether a folder's data module shows what they hold now."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cnnkit.data import ImageFolder
from cnnkit.data.images.decode import read_image


def check_pixels(data: ImageFolder) -> None:
    """Every image is what its file holds now, and its label that of its folder."""
    data.train_dataloader()
    store = data.store
    assert store is not None
    for images, labels in ((store.train_images, store.train_labels), (store.test_images, store.test_labels)):
        everything = images.index_select(0, torch.arange(len(labels)))
        for pixels, label, file in zip(everything, labels.tolist(), images.files, strict=True):  # type: ignore[attr-defined]
            assert torch.equal(pixels, read_image(file, data.in_channels, data.size, data.resize))
            assert file.is_relative_to(data.root / data.class_names[label])


def paint(file: Path, color: int) -> None:
    """A bitmap whose size in bytes does not depend on its color."""
    pixels = np.random.default_rng(color).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "BMP")
