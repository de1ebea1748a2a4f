"""The challenges of vision: translation, and at five strengths lighting, scale, rotation, occlusion and clutter.

Hendrycks & Dietterich 2019 (arXiv 1903.12261) measure nets by such changes. Here each change is a function of the
image's number and a strength, so that all nets see the same changed images.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.inspection.robustness import Point, Views, draw_curves, draw_legend
from cnnkit.randomness import Counter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRAY = 128  # of a patch that hides


def change_lighting(images: Tensor, index: Tensor, factor: float) -> Iterator[Tensor]:
    """Divide and multiply the pixels by the factor; values above white are clipped."""
    for each in (1 / factor, factor):
        yield (images.float() * each).round_().clamp_(0, 255).to(torch.uint8)


def change_scale(images: Tensor, index: Tensor, factor: float) -> Iterator[Tensor]:
    """Shrink the picture by the factor, with a black border, and enlarge it, without its borders."""
    for each in (1 / factor, factor):
        yield _warp(images, 0.0, each)


def rotate_both_ways(images: Tensor, index: Tensor, degrees: float) -> Iterator[Tensor]:
    """Rotate the picture in both directions about its center; the corners are black."""
    for sign in (1, -1):
        yield _warp(images, sign * degrees, 1.0)


def _warp(images: Tensor, degrees: float, scale: float) -> Tensor:
    """Rotate clockwise and scale images uint8 (B, C, H, W) about their center, bilinear, with black outside."""
    from torchvision.transforms.v2 import InterpolationMode  # here, because it takes a second
    from torchvision.transforms.v2.functional import affine

    warped: Tensor = affine(images, degrees, [0, 0], scale, [0.0], InterpolationMode.BILINEAR)
    return warped


def shift_four_ways(images: Tensor, index: Tensor, shift: float) -> Iterator[Tensor]:
    """Move the picture up, down, left and right; new pixels are black.

    Only a net that averages over all places is not affected, as long as no object leaves the picture.

    Args:
        images: uint8 (B, C, H, W).
        index: numbers of the images, not used.
        shift: pixels, a whole number.

    Raises:
        UserError: the shift leaves nothing of the images.
    """
    from torchvision.transforms.v2.functional import crop

    height, width = images.shape[-2:]
    side, pixels = min(height, width), int(shift)
    if not 0 <= shift < side:
        raise UserError(f"shift is {shift:g}: the images' smaller side is {side} pixels, give 0 to {side - 1}")
    for down, right in ((-pixels, 0), (pixels, 0), (0, -pixels), (0, pixels)):
        yield crop(images, -down, -right, height, width)


def occlude(images: Tensor, index: Tensor, share: float) -> Iterator[Tensor]:
    """Cover a random place with a gray square, whose side is this share of the image's smaller side."""
    side = max(1, round(share * min(images.shape[-2:])))
    counter = Counter(0, 0, index)
    top, left = (counter.integers(salt, 0, length - side) for salt, length in enumerate(images.shape[-2:]))
    yield images.masked_fill(_boxes(images, top, left, side), GRAY)


def _boxes(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Mark each image's square, (B, 1, H, W)."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - top[:, None]
    columns = torch.arange(width, device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return inside[:, None]


class Clutter:
    """Pastes pieces of other images at the border: squares of a quarter of the side, from the others' center.

    Args:
        images: all test images, uint8 (N, C, H, W), or what has their ``index_select``.
        count: N.
    """

    def __init__(self, images: Any, count: int) -> None:
        self.images, self.count = images, count

    def __call__(self, images: Tensor, index: Tensor, pieces: float) -> Iterator[Tensor]:
        """Paste that many pieces into each image; yield one view."""
        height, width = images.shape[-2:]
        side = max(1, min(height, width) // 4)
        counter = Counter(1, 0, index)
        for piece in range(int(pieces)):
            where = counter.at_stream(piece)
            other = (index + 1 + where.integers(0, 0, max(0, self.count - 2))) % self.count
            source = self.images.index_select(0, other.cpu()).to(images.device)
            edge, along = where.integers(1, 0, 3), where.uniform(2)
            down, across = ((along * (length - side + 1)).long() for length in (height, width))
            top = torch.where(edge == 0, 0, torch.where(edge == 1, height - side, down))
            left = torch.where(edge < 2, across, torch.where(edge == 2, 0, width - side))
            images = _paste(images, source, top, left, side)
        yield images


def _paste(images: Tensor, source: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Paste the center of each source into its image."""
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) - top[:, None] + (height - side) // 2).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - left[:, None] + (width - side) // 2).clamp(0, width - 1)
    place = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    moved = source.flatten(2).gather(2, place).view(images.shape)
    return torch.where(_boxes(images, top, left, side), moved, images)


@dataclass(frozen=True)
class Challenge:
    """A change of images at five strengths.

    Args:
        what: in words, for the plot.
        strengths: in that unit, the weakest first; 0 would be no change.
        views: see `cnnkit.inspection.robustness.Views`; by default `Clutter`, which needs the other images.
    """

    what: str
    strengths: tuple[float, ...]
    views: Views | None = None

    def build_views(self, images: Any, count: int) -> Views:
        """Return the function that changes a batch, for all test images and their count."""
        return self.views or Clutter(images, count)


CHALLENGES = {
    "lighting": Challenge("darker and brighter by a factor", (1.25, 1.5, 2, 3, 4), change_lighting),
    "scale": Challenge("smaller and larger by a factor", (1.1, 1.25, 1.5, 1.75, 2), change_scale),
    "rotation": Challenge("turned by degrees, both ways", (10, 20, 30, 45, 60), rotate_both_ways),
    "occlusion": Challenge("gray square, share of the side", (0.2, 0.3, 0.4, 0.5, 0.6), occlude),
    "clutter": Challenge("pieces of other images", (1, 2, 4, 6, 8)),
}


def challenges_figure(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> "Figure":
    """Draw accuracy against strength, one panel a challenge, one line a name, the unchanged images at the left end.

    Args:
        curves: by challenge, then by name.
    """
    from cnnkit.reporting.figures import label_axes, new_figures

    figure, panels = new_figures(2.6 * max(2, len(curves)), 2.9, 1, len(curves), sharey=True)
    for number, (axes, (name, lines)) in enumerate(zip(panels, curves.items(), strict=True)):
        # Strengths are drawn side by side: their units differ, and a factor of 1 is what a share of 0 is.
        places = {line: [replace(p, strength=k) for k, p in enumerate(points)] for line, points in lines.items()}
        draw_curves(axes, places)
        strengths = [point.strength for point in next(iter(lines.values()))]
        axes.set_xticks(range(len(strengths)), ["none", *(f"{strength:g}" for strength in strengths[1:])])
        axes.set_title(name, fontsize=9, loc="left")
        label_axes(axes, CHALLENGES[name].what, "accuracy" if number == 0 else "")
    draw_legend(panels[0])
    return figure


def translation_figure(curves: Mapping[str, Sequence[Point]]) -> "Figure":
    """Draw accuracy against shift, one line a name; bands are the 95 % intervals.

    Args:
        curves: the points of each name, in the order of their shifts.
    """
    from matplotlib.ticker import MaxNLocator

    from cnnkit.reporting.figures import label_axes, new_figure

    figure, axes = new_figure(4.8, 3.2)
    draw_curves(axes, curves)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw_legend(axes)
    label_axes(axes, "shift in pixels, mean of up, down, left and right", "accuracy")
    return figure
