"""Are they really different? Every two sides on the same test images, and how often they give the same answer.

Two single runs are two trained nets, and the test images are what varies: McNemar's exact test, and a bootstrap of the
images for the interval. Two folders of runs are two methods, and the runs are what varies: Welch's t test over the
accuracies, one a run, with its interval. Runs with equal seeds are not paired: different nets make nothing alike of a
seed, and pairing costs degrees of freedom. A single run against a folder decides nothing: nobody knows how much the
single one would vary. Of several comparisons, the p values are corrected by Holm's method, all together.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnkit.runs.candidates import Candidate
from cnnkit.stats.intervals import Summary, bootstrap_difference, summarize_shares, wilson_interval
from cnnkit.stats.significance import Difference, holm, mcnemar_exact, t_test_welch

LEVEL = 0.05
MCNEMAR, WELCH, NONE = "mcnemar", "welch", "none"


@dataclass(frozen=True)
class Pair:
    """Two sides, by their places.

    Args:
        a: place of the first.
        b: place of the second.
        test: mcnemar, welch, or none.
        difference: in accuracy, of the first less that of the second.
        adjusted: p with Holm's correction over all pairs; NaN where there is no test.
        only_a: images that the first run alone gets right; None of folders of runs.
        only_b: images that the second run alone gets right.
    """

    a: int
    b: int
    test: str
    difference: Difference
    adjusted: float = math.nan
    only_a: int | None = None
    only_b: int | None = None

    @property
    def better(self) -> int | None:
        """Place of the better side, None if the two are not told apart."""
        if not self.adjusted < LEVEL:
            return None
        return self.a if self.difference.mean > 0 else self.b


def summarize_accuracy(side: Candidate) -> Summary:
    """Accuracy with its 95 % interval: Student's t over several runs, Wilson's over the images of a single one."""
    summary = summarize_shares(side.accuracies)
    if summary.n > 1:
        return summary
    correct = side.predictions[0].correct
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return replace(summary, low=low, high=high)


def compare(sides: Sequence[Candidate]) -> list[Pair]:
    """Every two sides, see the head of this file.

    Args:
        sides: comparable ones, see `read_candidates`.
    """
    pairs = [_pair(sides, a, b) for a, b in itertools.combinations(range(len(sides)), 2)]
    tested = [pair for pair in pairs if pair.test != NONE]
    adjusted = dict(zip(map(id, tested), holm([pair.difference.p for pair in tested]), strict=True))
    return [replace(pair, adjusted=adjusted.get(id(pair), math.nan)) for pair in pairs]


def _pair(sides: Sequence[Candidate], a: int, b: int) -> Pair:
    first, second = sides[a], sides[b]
    if len(first.runs) > 1 or len(second.runs) > 1:
        test = WELCH if min(len(first.runs), len(second.runs)) > 1 else NONE
        return Pair(a, b, test, t_test_welch(first.accuracies, second.accuracies))
    right_a, right_b = first.predictions[0].correct, second.predictions[0].correct
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    low, high = bootstrap_difference(right_a, right_b)
    difference = Difference((only_a - only_b) / len(right_a), low, high, mcnemar_exact(only_a, only_b))
    return Pair(a, b, MCNEMAR, difference, only_a=only_a, only_b=only_b)


def agreement(sides: Sequence[Candidate]) -> np.ndarray:
    """Share of the images of which two runs predict the same class, (S, S): the mean over the pairs of different runs.

    On the diagonal it says how alike the repetitions of one side are; of a single run it is NaN.
    """
    share = np.full((len(sides), len(sides)), math.nan)
    for a, b in itertools.combinations_with_replacement(range(len(sides)), 2):
        runs = itertools.combinations(sides[a].predictions, 2) if a == b else _products(sides[a], sides[b])
        same = [float((p.predicted == q.predicted).mean()) for p, q in runs]
        if same:
            share[a, b] = share[b, a] = sum(same) / len(same)
    return share


def _products(a: Candidate, b: Candidate) -> "itertools.product[tuple]":
    return itertools.product(a.predictions, b.predictions)


def rank_disagreements(sides: Sequence[Candidate]) -> np.ndarray:
    """Places of the images that the sides do not all put into the same class, those they differ most about first.

    How much they differ is the largest difference between the probabilities that they give the true class.
    """
    answers = np.stack([side.answers for side in sides])  # (S, N)
    places = np.flatnonzero((answers != answers[0]).any(0))
    confidence = np.stack([side.confidence[places] for side in sides])
    return np.asarray(places[np.argsort(-np.ptp(confidence, axis=0), kind="stable")])
