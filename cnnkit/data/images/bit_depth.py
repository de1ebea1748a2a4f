"""Convert pixels of more than eight bits to uint8: scaled by their range, never clipped."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GrayScale(NamedTuple):
    """A linear map from pixel values to 0..255.

    Attributes:
        floor: the value that becomes black.
        span: from black to white.
        inverted: the least value is white (TIFF's WhiteIsZero).
    """

    floor: float
    span: float
    inverted: bool = False

    def apply(self, pixels: np.ndarray) -> NDArray[np.uint8]:
        """Scale pixels; NaN and infinity become black."""
        if pixels.dtype in (np.uint16, np.uint8) and self.floor == 0:
            table: NDArray[np.uint8] = _make_table(self.span, self.inverted)[pixels]
            return table
        values = pixels.astype(np.float64)
        finite = np.isfinite(values)
        scaled = np.clip((values - self.floor) * (255 / self.span), 0, 255, where=finite, out=np.zeros_like(values))
        if self.inverted:
            np.subtract(255, scaled, where=finite, out=scaled)
        return scaled.round().astype(np.uint8)


def find_scale(parts: Iterable[np.ndarray], bits: int = 16, inverted: bool = False) -> GrayScale:
    """Find the range of an image's pixels from their dtype and content.

    It is 0..65535 for integers, or 0 to the largest value of `bits` if the file says how many it uses. For floating
    point it is the first of 0..1, 0..255 and 0..65535 that contains all pixels. If a value lies outside, the range is
    from the smallest to the largest value.

    Args:
        parts: the image in pieces of one dtype.
        bits: of an integer pixel that are used.
        inverted: the least value is white.
    """
    low, high, dtype = np.inf, -np.inf, np.dtype(np.uint8)
    for part in parts:
        dtype = part.dtype
        finite = part[np.isfinite(part)] if dtype.kind == "f" else part
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    low, high = (low, high) if low <= high else (0.0, 0.0)
    ceilings = (1, 255, 65535) if dtype.kind == "f" else ((1 << bits) - 1, 65535)
    ceiling = next((c for c in ceilings if low >= 0 and high <= c), None)
    return GrayScale(0.0, float(ceiling), inverted) if ceiling else GrayScale(low, high - low or 1.0, inverted)


@cache
def _make_table(span: float, inverted: bool) -> NDArray[np.uint8]:
    """Map every uint16 to its gray value, which is faster than arithmetic for each pixel."""
    values = np.minimum(np.arange(65536) * (255 / span), 255)
    table: NDArray[np.uint8] = (255 - values if inverted else values).round().astype(np.uint8)
    return table
