"""Convert the rows of an image of any mode to gray or RGB, blended with white if they are transparent."""

from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from cnnkit.data.images.bands import Bands
from cnnkit.data.images.bit_depth import GrayScale, find_scale
from cnnkit.data.images.tiff import PixelKind

BAND_PIXELS = 1 << 20  # an image with fewer pixels is one band


class Flattening:
    """Converts bands of one image to mode L or RGB; reads them an extra time to find the range of their pixels."""

    def __init__(self, bands: Bands, kind: PixelKind, transparency: Any = None) -> None:
        self.kind, self.transparency = kind, transparency
        self.scale: GrayScale | None = None
        if bands.mode[0] not in "IF":
            return
        if bands.mode.startswith("I;16"):  # the range is known
            self.scale = GrayScale(0.0, float((1 << kind.bits) - 1), kind.inverted)
        else:
            parts = (self._read_values(bands.read(top, bottom)) for top, bottom in split_rows(bands.size))
            self.scale = find_scale(parts, kind.bits, kind.inverted)

    def __call__(self, band: Image.Image) -> Image.Image:
        """Convert a band to L or RGB."""
        if self.scale is not None:
            pixels = self._read_values(band)
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

    def _read_values(self, band: Image.Image) -> np.ndarray:
        values = np.asarray(band)
        return values.view(np.uint32) if self.kind.unsigned else values


def split_rows(
    size: tuple[int, int], multiple: int = 1, start: int = 0, stop: int | None = None
) -> list[tuple[int, int]]:
    """Split an image into bands, (top, bottom) each, of about `BAND_PIXELS` and a multiple of so many rows."""
    stop = size[1] if stop is None else stop
    rows = max(1, BAND_PIXELS // size[0] // multiple) * multiple
    return [(top, min(top + rows, stop)) for top in range(start, stop, rows)]


def find_transparency(image: Image.Image) -> Any:
    """Return the transparent color of a PNG that is opened, not loaded, at the bit depth of Pillow's pixels.

    Raises:
        ValueError: the PNG is 16-bit RGB: Pillow reads eight bits, which do not identify the color.
    """
    color = image.info.get("transparency")
    if not isinstance(image, PngImagePlugin.PngImageFile) or color is None:
        return None
    raw = image.tile[0].args if image.tile else ""
    if raw == "RGB;16B":
        raise ValueError("16-bit RGB with a transparent color (tRNS) is not read: save it with an alpha channel")
    return color * {"L;2": 85, "L;4": 17}.get(str(raw), 1) if isinstance(color, int) else color
