"""Scale bands of rows to one size: crop, squash or pad, by antialiased bilinear interpolation."""

import math
from collections.abc import Callable
from typing import Literal

from PIL import Image

from cnnkit.data.images.bands import Bands
from cnnkit.data.images.flattening import split_rows

Resize = Literal["squash", "crop", "pad"]
Box = tuple[float, float, float, float]
Flatten = Callable[[Image.Image], Image.Image]
_GAP = 3.0  # a larger image is first reduced to at least three times the size, by averages of boxes of pixels


def resize_bands(
    bands: Bands, flatten: Flatten, mode: str, extent: tuple[float, float], size: tuple[int, int], resize: Resize
) -> Image.Image:
    """Scale an image to a height and width, as `cnnkit.data.images.decode.read_image` describes it.

    `flatten` converts bands to gray or RGB (`mode` L or RGB). The pixels cover a width and height of `extent`, the last
    of them perhaps only a fraction.
    """
    to_height, to_width = size
    inner, box = _find_box(extent, size, resize)
    image = _scale(bands, flatten, mode, inner, box)
    if inner == (to_width, to_height):
        return image
    padded = Image.new(mode, (to_width, to_height))
    padded.paste(image, ((to_width - inner[0]) // 2, (to_height - inner[1]) // 2))
    return padded


def _find_box(extent: tuple[float, float], size: tuple[int, int], resize: Resize) -> tuple[tuple[int, int], Box]:
    """Return the width and height to scale to, and the box of the image that is scaled."""
    (width, height), (to_height, to_width) = extent, size
    inner, box = (to_width, to_height), (0.0, 0.0, width, height)
    if resize == "crop":
        scale = min(width / to_width, height / to_height)
        # One side is not cut; after rounding, 1800 / 224 * 224 is more than 1800.
        left, top = max(0.0, width - to_width * scale) / 2, max(0.0, height - to_height * scale) / 2
        box = (left, top, width - left, height - top)
    elif resize == "pad":
        scale = max(width / to_width, height / to_height)
        inner = (max(1, round(width / scale)), max(1, round(height / scale)))
    return inner, box


def _scale(bands: Bands, flatten: Flatten, mode: str, inner: tuple[int, int], box: Box) -> Image.Image:
    """Do what `Image.resize` does with ``reducing_gap``, bit for bit, but reduce in bands."""
    left, top, right, bottom = box
    per_x, per_y = (right - left) / inner[0], (bottom - top) / inner[1]
    factors = int(per_x / _GAP) or 1, int(per_y / _GAP) or 1
    whole = (0, 0, *bands.size)
    if factors != (1, 1):  # the result depends on the box and half a pixel of the result around it
        whole = (
            max(0, int(left - per_x / 2)),
            max(0, int(top - per_y / 2)),
            min(bands.size[0], math.ceil(right + per_x / 2)),
            min(bands.size[1], math.ceil(bottom + per_y / 2)),
        )
    reduced = reduce_bands(bands, flatten, mode, factors, whole)
    moved = (
        (left - whole[0]) / factors[0],
        (top - whole[1]) / factors[1],
        (right - whole[0]) / factors[0],
        (bottom - whole[1]) / factors[1],
    )
    return reduced.resize(inner, Image.Resampling.BILINEAR, moved)


def reduce_bands(
    bands: Bands, flatten: Flatten, mode: str, factors: tuple[int, int], box: tuple[int, int, int, int]
) -> Image.Image:
    """Average boxes of ``factors`` pixels within a part of the image."""
    left, top, right, bottom = box
    parts = split_rows(bands.size, factors[1], top, bottom)
    reduced = Image.new(mode, (math.ceil((right - left) / factors[0]), math.ceil((bottom - top) / factors[1])))
    for first, last in parts:
        band = flatten(bands.read(first, last)).convert(mode)
        if factors != (1, 1):
            band = band.reduce(factors, (left, 0, right, last - first))
        if len(parts) == 1:
            return band
        reduced.paste(band, (0, (first - top) // factors[1]))
    return reduced
