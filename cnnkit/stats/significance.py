"""Significance tests of differences: between methods over their runs, between two nets over the same test images.

The tests are SciPy's. It is imported where it is used, for that costs a second.
"""

import math
import statistics
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cnnkit.errors import UserError

Key = TypeVar("Key", bound=Hashable)
NAN = math.nan


@dataclass(frozen=True)
class Difference:
    """A difference of two means; all but ``mean`` is NaN where there are too few values to say.

    Args:
        mean: of the first less that of the second.
        low: lower end of its interval.
        high: upper end.
        p: probability of a difference at least as large, up or down, if there were none in truth.
    """

    mean: float
    low: float
    high: float
    p: float


def t_test_welch(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Difference:
    """Difference of the means of two independent samples that need not vary equally much.

    Welch 1947, "The generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34. A sample of one value says nothing about how much it varies, so it decides nothing.

    Example:
        >>> found = t_test_welch([0.912, 0.915, 0.917], [0.881, 0.879, 0.886])
        >>> f"{found.mean:.3f}, {found.low:.3f} to {found.high:.3f}, p = {found.p:.4f}"
        '0.033, 0.025 to 0.040, p = 0.0004'
    """
    if min(len(a), len(b)) < 2:
        return Difference(statistics.fmean(a) - statistics.fmean(b) if a and b else NAN, NAN, NAN, NAN)
    mean = statistics.fmean(a) - statistics.fmean(b)
    if len(set(a)) == len(set(b)) == 1:
        return Difference(mean, mean, mean, 0.0 if mean else 1.0)  # SciPy divides by zero here
    from scipy.stats import ttest_ind

    with warnings.catch_warnings():  # that one of the two samples does not vary, which is right
        warnings.simplefilter("ignore", RuntimeWarning)
        found = ttest_ind(a, b, equal_var=False)
        low, high = found.confidence_interval(level)
    return Difference(mean, float(low), float(high), float(found.pvalue))


def compare_with_best(
    scores: Mapping[Key, Sequence[float]], highest: bool = True, level: float = 0.05
) -> tuple[Key | None, list[Key]]:
    """Find the variant with the best mean, and those that are not significantly different from it.

    Welch's t test compares each other variant with the best one; Holm's correction keeps the probability of one false
    difference or more, over all of them, below ``level``. A single run decides nothing, so it counts as not
    significantly different. The best one was chosen by the same scores, which favors it slightly: use the marks as a
    filter, not as a proof.

    Args:
        scores: by variant, one score a run. A variant without scores takes no part.
        highest: whether a higher score is a better one.
        level: of significance, for all the tests together.

    Returns:
        The best variant, None if there are no scores, and all that are not significantly different, itself included.

    Example:
        >>> compare_with_best({"cnn": [0.91, 0.92], "wide": [0.92, 0.93], "mlp": [0.60, 0.61]})
        ('wide', ['cnn', 'wide'])
    """
    scored = {key: values for key, values in scores.items() if len(values)}
    if not scored:
        return None, []
    best = (max if highest else min)(scored, key=lambda key: statistics.fmean(scored[key]))
    p_values = {key: t_test_welch(scored[best], values).p for key, values in scored.items() if key != best}
    decided = {key: p for key, p in p_values.items() if not math.isnan(p)}
    different = {key for key, p in zip(decided, holm(list(decided.values())), strict=True) if p < level}
    return best, [key for key in scored if key not in different]


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of several tests, corrected so that all may be held against the same level, in the order given.

    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, least, count = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        least = max(least, (count - rank) * p_values[place])
        adjusted[place] = min(1.0, least)
    return adjusted


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p of McNemar's exact test: are two nets right on equally many images?

    Images that both get right, or both get wrong, say nothing about it. If the nets are equally good, each of the
    others is a fair coin: this is the exact binomial test. McNemar 1947, "Note on the sampling error of the difference
    between correlated proportions or percentages", Psychometrika 12.

    Args:
        only_a: images that the first net alone gets right, the second being wrong.
        only_b: the other way round.

    Example:
        >>> round(mcnemar_exact(2, 8), 4), mcnemar_exact(5, 5)
        (0.1094, 1.0)
    """
    if min(only_a, only_b) < 0:
        raise UserError(f"{only_a} and {only_b}: counts of images cannot be negative")
    if only_a == only_b:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue)
