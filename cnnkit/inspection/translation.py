"""Accuracy against shift: how far images may move until a net fails."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.inspection.robustness import Point, draw_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}  # (dx, dy) of one pixel


def translate(images: Tensor, dx: int, dy: int) -> Tensor:
    """Move images; new pixels are black (0), so this comes before normalizing.

    Args:
        dx: pixels to the right; to the left below 0.
        dy: pixels down; up below 0.

    Example:
        >>> translate(torch.tensor([[[[1, 2, 3]]]]), dx=1, dy=0)
        tensor([[[[0, 1, 2]]]])
    """
    height, width = images.shape[-2:]
    moved = torch.zeros_like(images)
    to_rows, to_columns = _kept_range(dy, height), _kept_range(dx, width)
    from_rows, from_columns = _kept_range(-dy, height), _kept_range(-dx, width)
    moved[..., to_rows, to_columns] = images[..., from_rows, from_columns]
    return moved


def _kept_range(offset: int, size: int) -> slice:
    """The range of the pixels that stay in the image."""
    return slice(min(max(offset, 0), size), max(size + min(offset, 0), 0))


def shifted_views(images: Tensor, index: Tensor, shift: float) -> Iterator[Tensor]:
    """The images moved up, down, left and right, for `cnnkit.inspection.robustness.accuracy_under_change`.

    Only a net that averages over all places has a flat curve, as long as no object leaves the picture.

    Args:
        shift: pixels, a whole number.

    Raises:
        UserError: the shift leaves nothing of the images.
    """
    side = min(images.shape[-2:])
    if not 0 <= shift < side:
        raise UserError(f"shift is {shift:g}: the images' smaller side is {side} pixels, give 0 to {side - 1}")
    for dx, dy in DIRECTIONS.values():
        yield translate(images, int(shift) * dx, int(shift) * dy)


def translation_figure(curves: Mapping[str, Sequence[Point]]) -> "Figure":
    """Accuracy against shift, a line a name; bands are the 95 % intervals.

    Args:
        curves: the points of each name, in the order of their shifts.
    """
    from matplotlib.ticker import MaxNLocator

    from cnnkit.reporting.figures import label_axes, new_figure

    figure, axes = new_figure(4.8, 3.2)
    draw_curves(axes, curves)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = axes.legend(fontsize=7, frameon=False, loc="lower left")
    for text in legend.get_texts():
        text.set_parse_math(False)
    label_axes(axes, "shift in pixels, mean of up, down, left and right", "accuracy")
    return figure
