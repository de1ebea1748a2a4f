"""The resize of `cnnkit.data.images.resizing` as tensor operations, so that the file of a net can contain it.

This is Pillow's arithmetic, so a file gets the same pixels as the run. Boxes of pixels are averaged as `Image.reduce`
does, until an image has less than six times the size. Then a triangle filter scales one side, and after it the other.
Each result is rounded to 8 bits. All sums are of multiples of 2 ** -22 below 2 ** 8, exact in float64 in any order.

Heights and widths may be symbols of `torch.export`. So nothing here branches on them, and every number of averages has
a bound that does not depend on the image: what lies outside of it has the weight zero.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cnnkit.data.images.resizing import Resize

_GAP = 3.0  # as in cnnkit.data.images.resizing
_MOST = 6  # averages to a pixel of the result: fewer than 6 where one pixel is an average, else fewer than 4.5
_WEIGHT = 2.0**22  # Pillow rounds weights to this fraction


def resize_images(images: Tensor, size: tuple[int, int], rule: Resize) -> Tensor:
    """Bring images to a size as `cnnkit.data.images.decode.convert_image` does.

    Args:
        images: whole numbers from 0 to 255 (B, C, H, W), of any type.
        size: height and width of the result.
        rule: ``crop`` scales until the size is covered and keeps the center, ``squash`` changes the aspect ratio,
            ``pad`` scales until the image fits and adds black borders.

    Returns:
        Whole numbers from 0 to 255, float32 (B, C, height, width).

    Example:
        >>> resize_images(torch.tensor([[[[0, 100], [200, 255]]]]), (1, 1), "squash")
        tensor([[[[139.]]]])
    """
    shape = images.shape[2:]
    if all(isinstance(pixels, int) for pixels in shape) and tuple(shape) == tuple(size):
        return images.float()
    axes = _plan(shape, size, rule, images.device)
    # One more than there can be, so that there are never one alone: torch.export would make that a case of its own.
    counts = [1 + torch.sym_min(pixels, _MOST * to + 8) for pixels, to in zip(shape, size, strict=True)]
    edges = [axis.find_edges(count) for axis, count in zip(axes, counts, strict=True)]
    reduced = _reduce(images, *edges)
    (height, width), (above, beside) = axes, edges
    rows, columns = height.find_weights(above, size[0]), width.find_weights(beside, size[1], across=True)
    rows_first = _round(_round(rows @ reduced) @ columns)
    columns_first = _round(rows @ _round(reduced @ columns))
    return torch.where(_scales_rows_first(axes), rows_first, columns_first).float()


class _Axis(NamedTuple):
    """How one side of the images is scaled; each a number, float64 ()."""

    factor: Tensor  # pixels of the image that are averaged first
    first: Tensor  # pixel of the image from which they are counted
    last: Tensor  # end of the pixels that count
    offset: Tensor  # of the averages before the first one that Pillow has
    low: Tensor  # start of the part that is scaled, in averages, as Pillow counts them
    scale: Tensor  # averages to a pixel of the result
    inner: Tensor  # pixels of the result without black borders
    total: Tensor  # averages that Pillow has

    def _count(self, end: int | torch.SymInt) -> Tensor:
        return torch.arange(end, dtype=torch.float64, device=self.factor.device)

    def find_edges(self, count: int | torch.SymInt) -> Tensor:
        """The first pixel of each of ``count`` averages, and the end of the last: (count + 1,), int64."""
        return torch.minimum(self.first + self._count(count + 1) * self.factor, self.last).long()

    def find_weights(self, edges: Tensor, size: int, *, across: bool = False) -> Tensor:
        """How much each average counts in each pixel of the result, float64, zeros in black borders.

        Returns:
            (size, count); ``across``: (count, size). A transposition would do, but onnxruntime 1.25 fuses it with the
            product into an operation that it lacks for float64.
        """
        averages, filled = self._count(edges.shape[0] - 1) + self.offset, edges.diff() > 0
        places = self._count(size) - ((size - self.inner) / 2).floor()
        if across:
            averages, filled = averages[:, None], filled[:, None]
        else:
            places = places[:, None]
        centers = self.low + (places + 0.5) * self.scale
        distances = (averages - centers + 0.5) * (1.0 / self.scale.clamp(min=1.0))
        inside = (places >= 0) & (places < self.inner) & filled
        weights = (1.0 - distances.abs()).clamp(min=0.0) * inside
        shares = weights / weights.sum(0 if across else 1, keepdim=True).clamp(min=1e-9)
        return (shares * _WEIGHT + 0.5).floor() / _WEIGHT


def _plan(
    shape: Sequence[int | torch.SymInt], size: tuple[int, int], rule: Resize, device: torch.device
) -> list[_Axis]:
    """Find what is scaled to what, as `cnnkit.data.images.resizing` does, along height and width."""
    extent = torch.stack([torch.scalar_tensor(pixels, dtype=torch.float64, device=device) for pixels in shape])
    inner = torch.tensor(size, dtype=torch.float64, device=device)
    low, high = torch.zeros_like(extent), extent
    if rule == "crop":
        low = (extent - inner * (extent / inner).min()).clamp(min=0.0) / 2
        high = extent - low
    elif rule == "pad":
        inner = (extent / (extent / inner).max()).round().clamp(min=1.0)
    per_pixel = (high - low) / inner
    factor = (per_pixel / _GAP).floor().clamp(min=1.0)
    reduces = (factor > 1).any()
    margin = torch.where(reduces, per_pixel / 2, per_pixel.clamp(min=1.0))
    first = (low - margin).floor().clamp(min=0.0)
    last = torch.minimum(extent, (high + margin).ceil())
    origin = torch.where(reduces, first, torch.zeros_like(first))  # from where Pillow counts
    low, high = (((end - origin) / factor).float() for end in (low, high))  # Pillow keeps float32 of them
    scale = (high - low).double() / inner
    total = torch.where(reduces, ((last - first) / factor).ceil(), extent)
    columns = (factor, first, last, first - origin, low.double(), scale, inner, total)
    return [_Axis(*(column[side] for column in columns)) for side in range(2)]


def _scales_rows_first(axes: Sequence[_Axis]) -> Tensor:
    """Whether Pillow (since 13.0) scales along the height first, bool ()."""
    height, width = ((axis.total - axis.inner) for axis in axes)
    return (height > 0) & (height > 2 * width)


def _reduce(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Average the pixels between edges, rounded as Pillow does: (B, C, rows, columns), float64; 0 where there are none.

    The sum over a box is a difference of cumulative sums. They may exceed 31 bits and wrap; their differences do not.
    """
    sums = F.pad(images.to(torch.int32), (1, 0)).cumsum(3, dtype=torch.int32).index_select(3, columns).diff(dim=3)
    sums = F.pad(sums, (0, 0, 1, 0)).cumsum(2, dtype=torch.int32).index_select(2, rows).diff(dim=2)
    pixels = (rows.diff()[:, None] * columns.diff()).double().clamp(min=1.0)
    return ((sums + (pixels / 2).floor()) * (2.0**24 / pixels).floor() / 2.0**24).floor()


def _round(values: Tensor) -> Tensor:
    return (values + 0.5).floor().clamp(0.0, 255.0)
