"""Accuracy against shift: how far the images may move until a net no longer knows them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnkit.analysis.statistics import summarise, wilson_interval
from cnnkit.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}  # (dx, dy) of one pixel


@dataclass(frozen=True)
class Shifted:
    """Accuracy on images that were moved by a number of pixels.

    Args:
        shift: pixels.
        accuracy: mean over the four directions, in [0, 1]; of several runs, the mean over the runs.
        low: lower end of its 95 % interval.
        high: upper end.
        n: images, or runs, that the interval rests on.
        of: what they are, ``images`` (Wilson's interval) or ``runs`` (Student's t).
    """

    shift: int
    accuracy: float
    low: float
    high: float
    n: int
    of: str = "images"


def translate(images: Tensor, dx: int, dy: int) -> Tensor:
    """Move images; what leaves is lost, what comes in is black (0), so this comes before normalising.

    Args:
        images: (B, C, H, W).
        dx: pixels to the right; to the left below 0.
        dy: pixels down; up below 0.

    Example:
        >>> translate(torch.tensor([[[[1, 2, 3]]]]), dx=1, dy=0)
        tensor([[[[0, 1, 2]]]])
    """
    height, width = images.shape[-2:]
    moved = torch.zeros_like(images)
    to_rows, to_columns = _kept(dy, height), _kept(dx, width)
    from_rows, from_columns = _kept(-dy, height), _kept(-dx, width)
    moved[..., to_rows, to_columns] = images[..., from_rows, from_columns]
    return moved


def _kept(offset: int, size: int) -> slice:
    """Where the pixels that stay come to lie."""
    return slice(min(max(offset, 0), size), max(size + min(offset, 0), 0))


@torch.inference_mode()
def accuracy_under_translation(
    net: Callable[[Tensor], Tensor],
    images: Any,
    labels: Tensor,
    normalize: Callable[[Tensor], Tensor],
    shifts: Sequence[int] = range(7),
    batch_size: int = 500,
    device: torch.device | str = "cpu",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[Shifted]:
    """Accuracy of a net on images that are moved up, down, left and right by each shift.

    The four directions count alike. They show the same images, so n is the number of images and not four times that:
    the interval is that of one direction, and rather too wide than too narrow for the mean of four. A net that
    averages over all places, and only such a net, has a flat curve as long as no object leaves the picture.

    Args:
        net: images to logits (B, K), in evaluation mode, on `device`.
        images: uint8 (N, C, H, W), or what has its ``index_select``.
        labels: int64 (N,).
        normalize: from uint8 images to what the net reads.
        shifts: pixels, each from 0 on and less than the smaller side.
        batch_size: images at a time.
        device: where the net is.
        progress: wraps the numbers of the batches' first images, to show how far it is.

    Raises:
        UserError: there are no images, or a shift leaves nothing of them.
    """
    if not len(labels):
        raise UserError("there are no images to shift: give at least one")
    correct = torch.zeros(len(shifts), dtype=torch.int64, device=device)  # of 4 N; read once, at the end
    for start in progress(range(0, len(labels), batch_size)):
        index = torch.arange(start, min(start + batch_size, len(labels)))
        batch, truth = images.index_select(0, index).to(device), labels[index].to(device)
        _check(shifts, min(batch.shape[-2:]))
        for place, shift in enumerate(shifts):
            for dx, dy in DIRECTIONS.values() if shift else [(0, 0)]:
                moved = normalize(translate(batch, shift * dx, shift * dy))
                right = (net(moved.contiguous(memory_format=torch.channels_last)).argmax(1) == truth).sum()
                correct[place] += right if shift else 4 * right
    return [_of_images(shift, c / 4, len(labels)) for shift, c in zip(shifts, correct.tolist(), strict=True)]


def _check(shifts: Sequence[int], side: int) -> None:
    for shift in shifts:
        if not 0 <= shift < side:
            raise UserError(f"shift is {shift}: the images' smaller side is {side} pixels, give 0 to {side - 1}")


def _of_images(shift: int, correct: float, n: int) -> Shifted:
    return Shifted(shift, correct / n, *wilson_interval(round(correct), n), n)


def mean_over_runs(curves: Sequence[Sequence[Shifted]]) -> list[Shifted]:
    """The mean of curves of the same shifts, with Student's t interval over the runs; a single one stays as it is.

    Args:
        curves: one a run, which differ by their seeds alone.
    """
    if len(curves) == 1:
        return list(curves[0])
    found = []
    for points in zip(*curves, strict=True):
        summary = summarise([point.accuracy for point in points])
        found.append(Shifted(points[0].shift, summary.mean, summary.low, summary.high, summary.n, "runs"))
    return found


def translation_figure(curves: Mapping[str, Sequence[Shifted]]) -> "Figure":
    """Accuracy against shift, a line a name; bands are the 95 % intervals.

    Args:
        curves: the points of each name, in the order of their shifts.
    """
    from matplotlib.ticker import MaxNLocator

    from cnnkit.analysis.plots import BLUE, GREEN, GREY, ORANGE, PINK, label_axes, new_figure, short

    figure, axes = new_figure(4.8, 3.2)
    colours, styles = (BLUE, ORANGE, GREEN, PINK, GREY), ("-", "--", ":", "-.")
    for number, (name, points) in enumerate(curves.items()):
        colour, style = colours[number % len(colours)], styles[number // len(colours) % len(styles)]
        shifts = [point.shift for point in points]
        count = f" ({points[0].n} runs)" if points[0].of == "runs" else ""
        axes.fill_between(shifts, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.15, lw=0)
        accuracy = [point.accuracy for point in points]
        axes.plot(shifts, accuracy, style, color=colour, lw=1.5, marker="o", ms=3, label=short(name) + count)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.grid(color="#e6e6e6", lw=0.6)
    legend = axes.legend(fontsize=7, frameon=False, loc="lower left")
    for text in legend.get_texts():
        text.set_parse_math(False)
    label_axes(axes, "shift in pixels, mean of up, down, left and right", "accuracy")
    return figure
