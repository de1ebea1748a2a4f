"""Synthetic images to check a model with: counted noise, so that no image of a data set leaves the house."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cnnkit.data.images.decode import MAX_PIXELS
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.randomness import Counter

CELLS = 8  # along a side: an image has 8x8 cells of one color each, which a resize keeps
_ORIENTATION, _SIDEWAYS = 0x0112, 6  # of EXIF


def write_noise(folder: Path, data: Preprocessing) -> list[Path]:
    """Write four PNG files: at the net's size, sideways by its EXIF, transparent, and in the other number of channels.

    Args:
        folder: an existing folder.
        data: the preparation of the net's images.
    """
    height, width = data.size
    larger = (2 * height + 3, 3 * width + 5)
    if larger[0] * larger[1] > min(data.max_pixels, MAX_PIXELS):  # a reader would refuse it
        larger = (height, width)
    color = 3 if data.in_channels == 3 else 1
    made = {
        "plain": (_draw(0, height, width, color), None),
        "sideways": (_draw(1, *larger, color), _make_orientation()),
        "transparent": (_draw(2, *larger[::-1], 4), None),
        "other-channels": (_draw(3, height, width, 4 - color), None),
    }
    files = []
    for name, (image, exif) in made.items():
        files.append(folder / f"{name}.png")
        image.save(files[-1], exif=exif)
    return files


def _draw(number: int, height: int, width: int, channels: int) -> Image.Image:
    """Draw an image of cells of counted noise, with 1 (gray), 3 (RGB) or 4 channels (RGBA)."""
    counter = Counter(seed=0, epoch=number, index=torch.arange(CELLS * CELLS * channels))
    cells = counter.integers(0, 0, 255).to(torch.uint8).numpy().reshape(CELLS, CELLS, channels)
    tall, wide = -(-height // CELLS), -(-width // CELLS)
    pixels = np.repeat(np.repeat(cells, tall, 0), wide, 1)[:height, :width]
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels))


def _make_orientation() -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION] = _SIDEWAYS
    return exif
