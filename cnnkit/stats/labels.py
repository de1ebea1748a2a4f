"""Scores of each class where an image may have several; NumPy alone."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnkit.runs.predictions import Predictions


class LabelScore(NamedTuple):
    """How well one class is found.

    Args:
        images: that have the class.
        precision: share of the images predicted to have it that do; NaN if none is.
        recall: share of the images that have it that are predicted to; NaN if there is none.
        f1: their harmonic mean; 0 if no image was found.
        average_precision: mean precision over the recalls of all thresholds; NaN if no image has the class.
    """

    images: int
    precision: float
    recall: float
    f1: float
    average_precision: float

    def as_cells(self) -> list[str]:
        """The number of images, average precision, F1, precision and recall, as text."""
        return [f"{self.images:,}", *(f"{v:.4f}" for v in (self.average_precision, self.f1, *self[1:3]))]


def score_labels(predictions: Predictions) -> list[LabelScore]:
    """Score each class of predictions with several labels an image."""
    columns = zip(predictions.probabilities.T, predictions.predicted.T > 0, predictions.labels.T > 0, strict=True)
    return [_score(probabilities.astype(np.float64), predicted, has) for probabilities, predicted, has in columns]


def _score(probabilities: np.ndarray, predicted: np.ndarray, has: np.ndarray) -> LabelScore:
    hits, found, positive = int((predicted & has).sum()), int(predicted.sum()), int(has.sum())
    return LabelScore(
        positive,
        hits / found if found else float("nan"),
        hits / positive if positive else float("nan"),
        2 * hits / (found + positive) if found + positive else 0.0,
        compute_average_precision(probabilities, has),
    )


def compute_average_precision(probabilities: np.ndarray, has: np.ndarray) -> float:
    """Compute the average precision: the sum of precision times the increase of recall, at each threshold.

    Args:
        probabilities: (N,).
        has: bool (N,).

    Example:
        >>> compute_average_precision(np.array([0.9, 0.6, 0.1]), np.array([True, False, True]))
        0.8333333333333333
    """
    return float(_average_precisions(np.ones((1, len(has))), probabilities, has)[0])


def compute_mean_average_precision(predictions: Predictions) -> float:
    """Compute the mean over the classes that some image has; NaN if no image has any."""
    return float(_average_over_classes(np.ones((1, len(predictions.labels))), predictions)[0])


def resample_mean_average_precision(runs: Sequence[Predictions], draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Compute the mean average precision of test sets like this one: images drawn with replacement.

    The same images are drawn for all runs, so that differences are paired (Efron 1979). Large test sets are drawn less
    often, but at least 200 times.

    Args:
        runs: predictions for the same images in the same order.
        draws: test sets drawn.
        seed: names the draws.

    Returns:
        (runs, draws).
    """
    images, classes = runs[0].probabilities.shape
    draws = max(200, min(draws, int(2e9 / (images * classes))))
    rng, found = np.random.default_rng(seed), []
    chunk = max(1, int(4e6 / images))
    for start in range(0, draws, chunk):
        weights = rng.multinomial(images, np.full(images, 1 / images), size=min(chunk, draws - start))
        found.append([_average_over_classes(weights, run) for run in runs])
    return np.concatenate(found, axis=1)


def _average_over_classes(weights: np.ndarray, predictions: Predictions) -> np.ndarray:
    """The mean average precision for each row of weights of the images, (draws, N); (draws,)."""
    values = [
        _average_precisions(weights, probabilities, has)
        for probabilities, has in zip(predictions.probabilities.T, predictions.labels.T > 0, strict=True)
    ]
    with warnings.catch_warnings():  # that a row has no class at all
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=0))


def _average_precisions(weights: np.ndarray, probabilities: np.ndarray, has: np.ndarray) -> np.ndarray:
    order = np.argsort(-probabilities.astype(np.float64), kind="stable")
    ends = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)  # the last of equal probabilities
    ordered = weights[:, order]
    hits = (ordered * has[order]).cumsum(1)[:, ends]
    precision = hits / np.maximum(ordered.cumsum(1)[:, ends], 1)
    positive = hits[:, -1]
    sums = (precision * np.diff(hits, axis=1, prepend=0)).sum(1)
    return np.where(positive > 0, sums / np.maximum(positive, 1), np.nan)
