"""Intervals: how far figures from a few runs, or from one test set, can be trusted.

Two questions must not be mixed up. Whether one *trained net* is better than another: both saw the same test images, so
the images are paired (`bootstrap_difference`, `mcnemar_exact`). Whether one *method* is better than another: each was
trained with several seeds, and what varies is the run (`summarize`, `t_test_welch`).

The tests and intervals are SciPy's. It is imported where it is used, for that costs a second.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnkit.errors import UserError

NAN = math.nan


@dataclass(frozen=True)
class Summary:
    """Mean of n values, and how far it can be trusted.

    Args:
        mean: NaN of no values.
        std: standard deviation of the values, with n - 1 below; NaN of fewer than two.
        low: lower end of the interval of the mean; NaN of fewer than two.
        high: upper end.
        n: number of values.
    """

    mean: float
    std: float
    low: float
    high: float
    n: int


def summarize(values: Sequence[float], level: float = 0.95) -> Summary:
    """Mean, standard deviation and Student's t interval of the mean: right for few values of a normal distribution.

    Student 1908, "The probable error of a mean", Biometrika 6.

    Args:
        values: one a run, of runs that differ by their seed alone.
        level: how often such an interval holds the true mean.

    Example:
        >>> found = summarize([0.910, 0.912, 0.917])
        >>> round(found.mean, 4), round(found.std, 4), round(found.low, 4), round(found.high, 4)
        (0.913, 0.0036, 0.904, 0.922)
    """
    n = len(values)
    if n < 2:
        return Summary(float(values[0]) if n else NAN, NAN, NAN, NAN, n)
    mean, std = statistics.fmean(values), statistics.stdev(values)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, n - 1)) * std / math.sqrt(n)
    return Summary(mean, std, mean - half, mean + half, n)


def summarize_shares(values: Sequence[float], level: float = 0.95) -> Summary:
    """`summarize` for accuracies and other shares: Student's interval is clipped to 0 and 1.

    Example:
        >>> found = summarize_shares([0.1, 0.1, 0.6])
        >>> round(found.mean, 4), found.low, round(found.high, 4)
        (0.2667, 0.0, 0.9838)
    """
    found = summarize(values, level)
    return found if found.n < 2 else replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, such as an accuracy over n images; unlike the usual one it is right near 0 and 1, too.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.

    Args:
        successes: from 0 to n.
        n: from 1 on.
        level: how often such an interval holds the true share.

    Raises:
        UserError: n is below 1, or successes outside of 0 to n.

    Example:
        >>> [round(end, 4) for end in wilson_interval(9194, 10_000)]
        [0.9139, 0.9246]
    """
    if not (n >= 1 and 0 <= successes <= n):
        raise UserError(f"{successes} of {n}: give from 0 to n successes, and n from 1 on")
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(level, method="wilson")
    return float(low), float(high)


def bootstrap_difference(
    correct_a: Any, correct_b: Any, draws: int = 10_000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the difference in accuracy, a less b, over test sets like this one.

    The images are drawn with replacement, each with the predictions of both nets. Only how many of them fall among
    those that one net alone gets right matters, so these counts are drawn, from their multinomial distribution. Efron
    1979, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7.

    Args:
        correct_a: which images the first net gets right, bool (N,).
        correct_b: the same of the second net, for the same images in the same order.
        draws: test sets drawn.
        level: of the interval.

    Raises:
        UserError: there are no images, or not equally many.

    Example:
        >>> bootstrap_difference([True] * 90 + [False] * 10, [True] * 80 + [False] * 20)
        (0.05, 0.16)
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape or not a.size:
        raise UserError(f"{a.size} images and {b.size}: give the same images for both nets, at least one")
    only_a, only_b = (a & ~b).mean(), (b & ~a).mean()
    shares = [only_a, only_b, max(0.0, 1 - only_a - only_b)]
    counts = np.random.default_rng(seed).multinomial(a.size, shares, size=draws)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / a.size, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
