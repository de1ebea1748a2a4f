"""Scores of each class where an image may have several; NumPy alone."""

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
    if not has.any():
        return float("nan")
    order = np.argsort(-probabilities, kind="stable")
    hits, ordered = has[order].cumsum(), probabilities[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # the last of equal probabilities
    precision = hits[ends] / (ends + 1)
    return float((precision * np.diff(hits[ends], prepend=0)).sum() / has.sum())
