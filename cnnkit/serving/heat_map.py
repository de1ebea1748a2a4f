"""The map of an explanation as a picture that lies over the image."""

import io
from typing import get_args

import numpy as np
from PIL import Image

from cnnkit.inference.results import ImageExplanation
from cnnkit.inspection.grad_cam import CamName

_SIDE = 448  # pixels of the longer side of a picture for people


def choose_map(explanation: ImageExplanation) -> tuple[str, np.ndarray]:
    """Return the name and the values (H, W) of the map to show: the class activation map, where the net has one."""
    names = list(explanation.maps)
    name = next((name for name in names if name in get_args(CamName)), names[-1])
    return name, explanation.maps[name]


def color_map(name: str, values: np.ndarray) -> Image.Image:
    """Color a map as `cnnkit explain` does: RGBA of its size; the weaker a pixel, the more of the image shows through.

    Args:
        name: of the method; a class activation map goes from black to yellow, any other from blue, against the class,
            to red, for it.
        values: (H, W).
    """
    from matplotlib import colormaps

    signed = name not in get_args(CamName)
    largest = float(np.abs(values).max() if signed else values.max()) or 1.0
    shares = np.clip(values / largest, -1 if signed else 0, 1)
    colors = colormaps["RdBu_r"]((shares + 1) / 2) if signed else colormaps["inferno"](shares)
    colors[..., 3] = np.sqrt(0.85 * np.abs(shares))
    return Image.fromarray((255 * colors).round().astype(np.uint8))


def draw_pixels(explanation: ImageExplanation) -> Image.Image:
    """Return the image as the net gets it before normalization, gray or RGB."""
    pixels = explanation.pixels
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def draw_overlay(explanation: ImageExplanation) -> Image.Image:
    """Draw the map over the image, RGB, large enough to see; the image is gray, so that all color is the map's."""
    image = draw_pixels(explanation).convert("L").convert("RGBA")
    scale = max(1, _SIDE // max(image.size))
    size = image.width * scale, image.height * scale
    colors = color_map(*choose_map(explanation)).resize(size, Image.Resampling.BICUBIC)
    return Image.alpha_composite(image.resize(size, Image.Resampling.NEAREST), colors).convert("RGB")


def encode_png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
