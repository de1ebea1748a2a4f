"""The curve of a learning-rate range test: what it suggests, and its picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnkit.errors import UserError
from cnnkit.reporting.figures import BLUE, GRAY, ORANGE, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST = 10  # steps of a curve that can be read
_WINDOW = 0.05  # share of the steps over which the loss is averaged


class RangeTest(NamedTuple):
    """The result of a range test.

    Attributes:
        rates: of each step, rising.
        losses: of each step, before it; smoothed.
        suggested: the rate with the lowest loss. Of seven configurations of cnnkit it is at most 9 times as high or low
            as the rate that trains them, 2 times in the median (docs/check.md).
        steepest: the rate at which the loss falls most steeply over the logarithm of the rate, which is lower.
        diverged: whether the loss rose so much that the test ended before the last rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggested: float
    steepest: float
    diverged: bool


def read_curve(rates: Sequence[float], losses: Sequence[float], diverged: bool) -> RangeTest:
    """Find the rate to use, after Smith 2015, arXiv 1506.01186, section 3.3.

    Args:
        rates: of each step.
        losses: of each step.
        diverged: whether the test ended early.

    Raises:
        UserError: there are too few losses, or the loss never falls.

    Example:
        >>> steps = np.arange(60)
        >>> losses = 2 - 1 / (1 + np.exp((25 - steps) / 4)) + np.where(steps > 45, 0.1 * (steps - 45), 0)
        >>> found = read_curve(10.0 ** (steps / 10 - 5), losses, diverged=True)
        >>> f"{found.suggested:.1e} {found.steepest:.1e}"
        '1.6e-01 3.2e-03'
    """
    x, y = np.asarray(rates, float)[: len(losses)], np.asarray(losses, float)[: len(rates)]
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(y) < _LEAST:
        raise UserError(
            f"the range test has {len(y)} finite losses, too few to read; raise --steps, or lower --min_lr and --max_lr"
        )
    smooth = _average(y, max(1, round(_WINDOW * len(y))))
    bottom = int(smooth.argmin())
    if bottom < 2:
        raise UserError(
            f"the loss rises from the first rate, {x[0]:.2g}, on: lower --min_lr, or look for a fault with "
            "--trainer.overfit_batches"
        )
    slope = np.gradient(smooth[: bottom + 1], np.log(x[: bottom + 1]))
    return RangeTest(x, smooth, float(x[bottom]), float(x[int(slope.argmin())]), diverged)


def draw_curve(test: RangeTest, key: str) -> "Figure":
    """Draw loss against rate, with both rates marked.

    Args:
        test: to draw.
        key: what was varied.
    """
    figure, axes = new_figure(5.2, 3.2)
    axes.semilogx(test.rates, test.losses, color=BLUE, lw=1.5)
    axes.axvline(test.suggested, color=ORANGE, lw=1.2, ls="--", label=f"lowest loss: {test.suggested:.2g}")
    axes.axvline(test.steepest, color=GRAY, lw=1, ls=":", label=f"steepest: {test.steepest:.2g}")
    low, first = float(test.losses.min()), float(test.losses[0])
    axes.set_ylim(low - 0.1 * (first - low), first + 0.6 * (first - low))
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    label_axes(axes, key, "training loss, smoothed", f"{len(test.rates)} steps, one seed")
    return figure


def _average(values: np.ndarray, window: int) -> np.ndarray:
    """A running mean over ``2 window + 1`` values, fewer at the ends."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    places = np.arange(len(values))
    first, last = np.maximum(places - window, 0), np.minimum(places + window + 1, len(values))
    return np.asarray((total[last] - total[first]) / (last - first))
