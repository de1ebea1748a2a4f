"""Calibration of a net's probabilities: of the predictions made with 80 %, are 80 % right?

Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Predictions in M bins of equal width by their confidence, the probability of the predicted class.

    Args:
        edges: of the bins, from 0 to 1 (M + 1,); a bin has its upper edge and not its lower one.
        confidence: mean confidence in each bin (M,), 0 in an empty one.
        accuracy: share of right predictions in each bin (M,), 0 in an empty one.
        count: predictions in each bin (M,).
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over all predictions of |accuracy - confidence| of their bin.

        It is Guo et al.'s equation 3; NaN of no prediction.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.count * gaps).sum() / self.count.sum()) if self.count.sum() else float("nan")


def calibration(probabilities: Any, labels: Any, bins: int = 15) -> Calibration:
    """Calibration of the most probable classes.

    Args:
        probabilities: of N images and K classes, array or tensor on the host, (N, K).
        labels: the true classes (N,).
        bins: number of bins, M.

    Example:
        Of four predictions made with 90 %, three are right:

        >>> found = calibration([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]], [0, 0, 1, 0], bins=10)
        >>> round(found.accuracy[8], 2), round(found.error, 2)
        (np.float64(0.75), 0.15)
    """
    values = np.asarray(probabilities)
    return bin_predictions(values.max(1), values.argmax(1) == np.asarray(labels), bins)


def bin_predictions(confidence: Any, correct: Any, bins: int = 15) -> Calibration:
    """Calibration from the confidence and correctness of predictions.

    Args:
        confidence: probability of each predicted class (N,).
        correct: whether the prediction is right (N,).
        bins: number of bins, M.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=weights, minlength=bins) for weights in (confidence, correct)]
    means = [total / np.maximum(count, 1) for total in sums]
    return Calibration(edges, means[0], means[1], count)
