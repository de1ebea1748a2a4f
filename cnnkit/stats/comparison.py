"""Comparison of every two candidates on the same test images, and how often they predict the same class.

Two single runs are two trained nets, and the test images are what varies: McNemar's exact test, and a bootstrap of the
images for the interval. Two folders of runs are two methods, and the runs are what varies: Welch's t test over the
accuracies, one a run, with its interval. Runs with equal seeds are not paired: a seed means nothing common to different
nets, and pairing costs degrees of freedom. A single run against a folder decides nothing: the variance of the single
one is unknown. Of several comparisons, the p values are corrected by Holm's method, all together.
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
    """The comparison of two candidates.

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
        """Place of the better candidate, None if the difference is not significant."""
        if not self.adjusted < LEVEL:
            return None
        return self.a if self.difference.mean > 0 else self.b


def summarize_accuracy(candidate: Candidate) -> Summary:
    """Summarize accuracy with its 95 % interval: Student's t over several runs, Wilson's over the images of one."""
    summary = summarize_shares(candidate.accuracies)
    if summary.n > 1:
        return summary
    correct = candidate.predictions[0].correct
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return replace(summary, low=low, high=high)


def compare(candidates: Sequence[Candidate]) -> list[Pair]:
    """Compare every two candidates, as the head of this file explains."""
    pairs = [_pair(candidates, a, b) for a, b in itertools.combinations(range(len(candidates)), 2)]
    tested = [pair for pair in pairs if pair.test != NONE]
    adjusted = dict(zip(map(id, tested), holm([pair.difference.p for pair in tested]), strict=True))
    return [replace(pair, adjusted=adjusted.get(id(pair), math.nan)) for pair in pairs]


def _pair(candidates: Sequence[Candidate], a: int, b: int) -> Pair:
    first, second = candidates[a], candidates[b]
    if len(first.runs) > 1 or len(second.runs) > 1:
        test = WELCH if min(len(first.runs), len(second.runs)) > 1 else NONE
        return Pair(a, b, test, t_test_welch(first.accuracies, second.accuracies))
    right_a, right_b = first.predictions[0].correct, second.predictions[0].correct
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    low, high = bootstrap_difference(right_a, right_b)
    difference = Difference((only_a - only_b) / len(right_a), low, high, mcnemar_exact(only_a, only_b))
    return Pair(a, b, MCNEMAR, difference, only_a=only_a, only_b=only_b)


def agreement(candidates: Sequence[Candidate]) -> np.ndarray:
    """Share of the images with the same predicted class in two runs, (S, S): the mean over the pairs of different runs.

    The diagonal has the agreement of one candidate's repetitions; for a single run it is NaN.
    """
    share = np.full((len(candidates), len(candidates)), math.nan)
    for a, b in itertools.combinations_with_replacement(range(len(candidates)), 2):
        first, second = candidates[a].predictions, candidates[b].predictions
        runs = itertools.combinations(first, 2) if a == b else itertools.product(first, second)
        same = [float((p.predicted == q.predicted).mean()) for p, q in runs]
        if same:
            share[a, b] = share[b, a] = sum(same) / len(same)
    return share


def rank_disagreements(candidates: Sequence[Candidate]) -> np.ndarray:
    """Places of the images with different predictions, those with the largest difference first.

    The difference is the range of the probabilities that the candidates give the true class.
    """
    answers = np.stack([candidate.answers for candidate in candidates])  # (S, N)
    places = np.flatnonzero((answers != answers[0]).any(0))
    confidence = np.stack([candidate.confidence[places] for candidate in candidates])
    return np.asarray(places[np.argsort(-np.ptp(confidence, axis=0), kind="stable")])
