"""Temperature scaling: one number that makes a net's probabilities believable, and what it changes.

Guo et al. 2017, arXiv 1706.04599, section 4.2: all logits are divided by one temperature, the one with the smallest
negative log-likelihood on images that the net was not trained on. The most probable class stays the same.
"""

from typing import Any

import numpy as np

from cnnkit.errors import UserError
from cnnkit.stats.calibration import bin_predictions

RANGE = (0.02, 50.0)  # temperatures that are searched
RESAMPLES = 1000


def measure_loss(logits: Any, labels: Any, temperature: float = 1.0) -> np.ndarray:
    """Return the negative log-likelihood of each image's class, float64 (N,).

    Args:
        logits: (N, K).
        labels: the true classes (N,).
        temperature: by which the logits are divided.

    Example:
        >>> measure_loss([[0.0, 0.0], [2.0, 0.0]], [0, 0], 2.0).round(4)
        array([0.6931, 0.3133])
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = scaled - scaled.max(1, keepdims=True)
    chosen = np.take_along_axis(scaled, np.asarray(labels)[:, None], 1)[:, 0]
    return np.asarray(np.log(np.exp(scaled).sum(1)) - chosen)


def fit_temperature(logits: Any, labels: Any) -> float:
    """Find the temperature with the smallest mean negative log-likelihood.

    The loss is convex in the inverse of the temperature, so it has one minimum, which SciPy's bounded search finds.

    Args:
        logits: (N, K).
        labels: the true classes (N,).

    Raises:
        UserError: there is no minimum between 0.02 and 50: every image is right, say, or the net has not learned.
    """
    from scipy.optimize import minimize_scalar

    low, high = np.log(RANGE)
    found = minimize_scalar(
        lambda log: measure_loss(logits, labels, float(np.exp(log))).mean(),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-7},
    )
    right = bool((np.asarray(logits).argmax(1) == np.asarray(labels)).all())
    if right or not low + 1e-3 < found.x < high - 1e-3:
        why = (
            "0: the net is right for all of them, or nearly all"
            if right or found.x < 0
            else "infinite: it cannot tell them apart"
        )
        raise UserError(f"the best temperature of {len(labels):,} validation images would be {why}")
    return float(np.exp(found.x))


def resample_error(confidence: Any, correct: Any, level: float = 0.95) -> tuple[float, float]:
    """Return an interval of the expected calibration error by a bootstrap of the images (Efron 1979).

    The error of few images is too large: chance alone moves the accuracy of a bin away from its confidence. A resample
    adds as much again, so the interval is the basic one, which takes it off, and never below 0.

    Args:
        confidence: probability of each predicted class (N,).
        correct: whether the prediction is right (N,).
        level: how often such an interval is to hold the true error.
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    generator = np.random.default_rng(0)
    error = bin_predictions(confidence, correct).error
    errors = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(0, len(confidence), len(confidence))
        errors.append(bin_predictions(confidence[chosen], correct[chosen]).error)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    return max(0.0, float(2 * error - high)), max(0.0, float(2 * error - low))


def describe_error(confidence: Any, correct: Any) -> dict[str, float]:
    """Return the expected calibration error ``ece`` and the ends of its 95 % interval, ``ece_low`` and ``ece_high``."""
    low, high = resample_error(confidence, correct)
    return {"ece": bin_predictions(confidence, correct).error, "ece_low": low, "ece_high": high}


def compare_temperatures(logits: Any, labels: Any, temperature: float) -> dict[str, Any]:
    """Describe the calibration without and with a temperature: ``before`` and ``after``, each loss, ECE and interval.

    Args:
        logits: (N, K).
        labels: the true classes (N,).
        temperature: by which the logits are divided.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    correct = logits.argmax(1) == labels

    def describe(divisor: float) -> dict[str, float]:
        confidence = np.exp(-measure_loss(logits, logits.argmax(1), divisor))
        return {"loss": float(measure_loss(logits, labels, divisor).mean()), **describe_error(confidence, correct)}

    return {"before": describe(1.0), "after": describe(temperature)}


def format_error(found: Any) -> str:
    """Format what `describe_error` returns.

    Example:
        >>> format_error({"ece": 0.0312, "ece_low": 0.02, "ece_high": 0.041})
        '0.031 (0.020 to 0.041)'
    """
    return f"{found['ece']:.3f} ({found['ece_low']:.3f} to {found['ece_high']:.3f})"
