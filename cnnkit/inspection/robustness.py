"""Accuracy of a net on test images under increasing changes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.stats.intervals import summarize_shares, wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# (images (B, C, H, W) uint8, their numbers (B,) int64, strength) -> changed images of the same shape, one view or more
Views = Callable[[Tensor, Tensor, float], Iterable[Tensor]]


@dataclass(frozen=True)
class Point:
    """Accuracy at one strength of a change.

    Args:
        strength: how much the images were changed, in the unit of the change; 0: not at all.
        accuracy: mean over the views of each image, in [0, 1]; of several runs, the mean over the runs.
        low: lower end of its 95 % interval.
        high: upper end.
        n: images, or runs, that the interval rests on.
        of: what they are, ``images`` (Wilson's interval) or ``runs`` (Student's t).
    """

    strength: float
    accuracy: float
    low: float
    high: float
    n: int
    of: str = "images"


@torch.inference_mode()
def accuracy_under_change(
    net: Callable[[Tensor], Tensor],
    images: Any,
    labels: Tensor,
    normalize: Callable[[Tensor], Tensor],
    views: Views,
    strengths: Sequence[float],
    batch_size: int = 500,
    device: torch.device | str = "cpu",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> list[Point]:
    """Measure the accuracy of a net on changed images, a point for each strength.

    The views of an image have equal weights. They show the same images, so n is the number of images, not of views: the
    interval is that of one view, which is rather too wide for their mean.

    Args:
        net: images to logits (B, K), in evaluation mode, on `device`.
        images: uint8 (N, C, H, W), or what has its ``index_select``.
        labels: int64 (N,).
        normalize: from uint8 images to what the net reads.
        views: changes a batch; not called for strength 0.
        strengths: of the change.
        batch_size: images at a time.
        device: where the net is.
        progress: wraps the iteration over batches, to show the progress.

    Raises:
        UserError: there are no images.
    """
    if not len(labels):
        raise UserError("there are no images to change: give at least one")
    # Right answers, in parts of an image; float64 holds them exactly, and the host reads them once, at the end.
    correct = torch.zeros(len(strengths), dtype=torch.float64, device=device)
    for start in progress(range(0, len(labels), batch_size)):
        index = torch.arange(start, min(start + batch_size, len(labels)))
        batch, truth, index = images.index_select(0, index).to(device), labels[index].to(device), index.to(device)
        for place, strength in enumerate(strengths):
            seen = [
                (net(normalize(view).contiguous(memory_format=torch.channels_last)).argmax(1) == truth).sum()
                for view in (views(batch, index, strength) if strength else [batch])
            ]
            correct[place] += torch.stack(seen).double().mean()
    n = len(labels)
    return [Point(s, c / n, *wilson_interval(round(c), n), n) for s, c in zip(strengths, correct.tolist(), strict=True)]


def mean_over_runs(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Average curves of the same strengths, with Student's t interval over the runs; a single one stays as it is.

    Args:
        curves: one a run, which differ by their seeds alone.
    """
    if len(curves) == 1:
        return list(curves[0])
    found = []
    for points in zip(*curves, strict=True):
        summary = summarize_shares([point.accuracy for point in points])
        found.append(Point(points[0].strength, summary.mean, summary.low, summary.high, summary.n, "runs"))
    return found


def draw_curves(axes: "Axes", curves: Mapping[str, Sequence[Point]]) -> None:
    """Draw accuracy against strength, a line a name, into axes of a figure; bands are the 95 % intervals.

    Args:
        curves: the points of each name, in the order of their strengths.
    """
    from cnnkit.reporting.figures import BLUE, GRAY, GREEN, ORANGE, PINK, short

    colors, styles = (BLUE, ORANGE, GREEN, PINK, GRAY), ("-", "--", ":", "-.")
    for number, (name, points) in enumerate(curves.items()):
        color, style = colors[number % len(colors)], styles[number // len(colors) % len(styles)]
        strengths = [point.strength for point in points]
        count = f" ({points[0].n} runs)" if points[0].of == "runs" else ""
        axes.fill_between(strengths, [p.low for p in points], [p.high for p in points], color=color, alpha=0.15, lw=0)
        accuracy = [point.accuracy for point in points]
        axes.plot(strengths, accuracy, style, color=color, lw=1.5, marker="o", ms=3, label=short(name) + count)
    axes.set_ylim(0, 1)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.grid(color="#e6e6e6", lw=0.6)


def draw_legend(axes: "Axes") -> None:
    """Draw the legend; a ``$`` in a name stays as it is."""
    for text in axes.legend(fontsize=7, frameon=False, loc="lower left").get_texts():
        text.set_parse_math(False)
