"""Which pixels of the image the values of a tensor depend on.

The recurrence is that of Araujo, Norris & Sim 2019 (Distill, doi 10.23915/distill.00021): a window of k taps, d apart,
widens a field by (k - 1) d times the stride that lies behind it. Where ways through the net meet, a value depends on
what any of them sees: the widest, for fields that lie within each other. Fields are those on an unbounded image: near
its border they reach into the padding.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

Pair = tuple[float, float]
Factor = tuple[int, int | None]
"""A part of a dimension: its size, and the direction of the image along it (0 rows, 1 columns, None neither)."""


class Field(NamedTuple):
    """The field of a layer's units, each as (rows, columns), in pixels."""

    size: Pair
    """``inf`` where a unit depends on the whole image."""
    stride: tuple[int, int] | None
    """Pixels between the fields of neighboring units; None if the output is no map."""
    first: Pair
    """The first pixel that the first unit sees; negative in the padding."""


class LostTrackError(Exception):
    """An operation whose effect on fields is unknown."""


@dataclass(frozen=True)
class Span:
    """In one direction: the first and last pixel that index 0 sees, and by how many pixels that moves an index."""

    first: float
    last: float
    stride: int

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> "Span":
        """Return the span of a window over units of this span."""
        first = self.first - padding * self.stride
        return Span(first, self.last + ((kernel - 1) * dilation - padding) * self.stride, self.stride * stride)

    def shift(self, units: int) -> "Span":
        """Return the span when counting starts at another unit."""
        return Span(self.first + units * self.stride, self.last + units * self.stride, self.stride)


PIXEL = Span(0, 0, 1)
WHOLE = Span(-math.inf, math.inf, 1)


@dataclass(frozen=True)
class Geometry:
    """Of a tensor: the spans of its values in rows and columns, and along which dimensions they move."""

    spans: tuple[Span, Span]
    dims: tuple[tuple[Factor, ...], ...]

    @property
    def moving(self) -> set[int | None]:
        """The image directions along which some dimension lies."""
        return {axis for factors in self.dims for _, axis in factors} - {None}

    def axis(self, dim: int) -> int | None:
        """Return the image's direction along a dimension."""
        factors = [axis for _, axis in self.dims[dim] if axis is not None]
        if len(factors) > 1 or (factors and len(self.dims[dim]) > 1):
            raise LostTrackError
        return factors[0] if factors else None

    def with_axis(self, dim: int, size: int, change: Callable[[Span], Span]) -> "Geometry":
        """Change the size of a dimension, and the span of the direction along it, if there is one."""
        axis, spans = self.axis(dim), list(self.spans)
        if axis is not None:
            spans[axis] = change(spans[axis])
        dims = list(self.dims)
        dims[dim] = ((size, axis),)
        return Geometry((spans[0], spans[1]), tuple(dims))

    def reduce(self, dims: Sequence[int]) -> "Geometry":
        """Sum up over dimensions, which keep size 1."""
        spans, kept = list(self.spans), list(self.dims)
        for dim in dims:
            for _, axis in self.dims[dim]:
                if axis is not None:
                    spans[axis] = WHOLE
            kept[dim] = ((1, None),)
        return Geometry((spans[0], spans[1]), tuple(kept))


def image_geometry(images: Tensor) -> Geometry:
    """Return the geometry of images (B, C, H, W) themselves: a pixel sees itself."""
    batch, channels, height, width = images.shape
    return Geometry((PIXEL, PIXEL), (((batch, None),), ((channels, None),), ((height, 0),), ((width, 1),)))


def merge(found: Sequence[Geometry], shape: Sequence[int]) -> Geometry:
    """Merge geometries: of values that depend on several tensors at the same index, broadcast to one shape."""
    dims = []
    for back in range(len(shape), 0, -1):
        here = {
            g.dims[-back] for g in found if len(g.dims) >= back and any(axis is not None for _, axis in g.dims[-back])
        }
        if len(here) > 1:
            raise LostTrackError
        dims.append(here.pop() if here else ((shape[-back], None),))
    rows, columns = (_union([(g.spans[axis], axis in g.moving) for g in found]) for axis in (0, 1))
    return Geometry((rows, columns), tuple(dims))


def _union(spans: Sequence[tuple[Span, bool]]) -> Span:
    """Return the hull of spans, each with whether it moves."""
    strides = {span.stride for span, moves in spans if moves}
    stuck = [span for span, moves in spans if not moves and not math.isinf(span.first)]
    if len(strides) > 1 or (strides and stuck):
        raise LostTrackError
    first, last = min(span.first for span, _ in spans), max(span.last for span, _ in spans)
    return Span(first, last, strides.pop() if strides else 1)


def compute_field(geometry: Geometry) -> Field:
    """Compute the field that a geometry stands for."""
    sizes = [span.last - span.first + 1 for span in geometry.spans]
    alone = {factors[0][1] for factors in geometry.dims if len(factors) == 1}
    stride = (geometry.spans[0].stride, geometry.spans[1].stride) if alone >= {0, 1} else None
    return Field((sizes[0], sizes[1]), stride, (geometry.spans[0].first, geometry.spans[1].first))
