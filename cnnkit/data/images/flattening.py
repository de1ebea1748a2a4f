"""Rows of an image in any of Pillow's modes to gray or RGB, on white where it is transparent."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from cnnkit.data.images.bands import Bands
from cnnkit.data.images.bit_depth import GrayScale, find_scale
from cnnkit.data.images.tiff import PixelKind

BAND_PIXELS = 1 << 20  # an image of fewer is one band


class Flattening:
    """Turns bands of one image into Pillow images of mode L or RGB.

    Args:
        bands: its rows; read once more where the range of wide pixels must be found.
        kind: what is known of the pixels.
        transparency: see `find_transparency`.
    """

    def __init__(self, bands: Bands, kind: PixelKind, transparency: Any = None) -> None:
        self.kind, self.transparency = kind, transparency
        self.scale: GrayScale | None = None
        if bands.mode[0] not in "IF":
            return
        if bands.mode.startswith("I;16"):  # nothing to look for
            self.scale = GrayScale(0.0, float((1 << kind.bits) - 1), kind.inverted)
        else:
            self.scale = find_scale(self._pieces(bands), kind.bits, kind.inverted)

    def __call__(self, band: Image.Image) -> Image.Image:
        """The band as L or RGB."""
        if self.scale is not None:
            pixels = self._values(band)
            gray = self.scale.apply(pixels)
            if isinstance(self.transparency, int):
                gray[pixels == self.transparency] = 255
            return Image.fromarray(gray)
        if self.transparency is not None:
            band.info["transparency"] = self.transparency
        if band.has_transparency_data:
            band = band.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", band.size, "white"), band).convert("RGB")
        return band.convert("L" if band.mode in ("1", "L") else "RGB")

    def _values(self, band: Image.Image) -> np.ndarray:
        values = np.asarray(band)
        return values.view(np.uint32) if self.kind.unsigned else values

    def _pieces(self, bands: Bands) -> Iterator[np.ndarray]:
        for top, bottom in split_rows(bands.size):
            yield self._values(bands.read(top, bottom))


def split_rows(
    size: tuple[int, int], multiple: int = 1, start: int = 0, stop: int | None = None
) -> list[tuple[int, int]]:
    """Bands of about `BAND_PIXELS`, (top, bottom) each, of a multiple of so many rows but for the last."""
    stop = size[1] if stop is None else stop
    rows = max(1, BAND_PIXELS // size[0] // multiple) * multiple
    return [(top, min(top + rows, stop)) for top in range(start, stop, rows)]


def find_transparency(image: Image.Image) -> Any:
    """The transparent color of a PNG that is opened and not loaded, at the depth that Pillow gives the pixels.

    Raises:
        ValueError: 16-bit RGB with a transparent color: eight bits cannot tell it from its neighbors.
    """
    color = image.info.get("transparency")
    if not isinstance(image, PngImagePlugin.PngImageFile) or color is None:
        return None
    raw = image.tile[0].args if image.tile else ""
    if raw == "RGB;16B":
        raise ValueError("16-bit RGB with a transparent color (tRNS) is not read: save it with an alpha channel")
    return color * {"L;2": 85, "L;4": 17}.get(str(raw), 1) if isinstance(color, int) else color
