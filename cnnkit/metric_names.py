"""What a metric's name says: whether lower is better, and how to format its values. Standard library only."""

import math
import re
from typing import Literal

Mode = Literal["auto", "max", "min"]

MONITOR = "val/acc"  # the default metric that chooses the best checkpoint
MULTILABEL_MONITOR = "val/map"  # the same with several labels an image, where no accuracy is logged
_LOWER = {"err", "ece", "mce", "nll", "brier", "mae", "mse", "rmse", "perplexity", "entropy", "distance", "cost"}


def is_lower_better(name: str) -> bool:
    """Whether lower values of a metric are better: losses, errors, calibration errors.

    Example:
        >>> [is_lower_better(name) for name in ("val/loss", "val/top1_error", "val/ece", "val/acc", "val/f1")]
        [True, True, True, False, False]
    """
    return "loss" in name or "error" in name or not _LOWER.isdisjoint(_words(name))


def resolve_mode(name: str, mode: Mode = "auto") -> Literal["max", "min"]:
    """``max`` or ``min``; of ``auto`` what the name says."""
    return mode if mode != "auto" else "min" if is_lower_better(name) else "max"


def is_percentage(name: str) -> bool:
    """Whether a metric is given in percent: accuracies.

    Example:
        >>> [is_percentage(name) for name in ("val/acc", "val/top5_acc", "train/acc_aux/4a", "val/ece", "val/vacuum")]
        [True, True, True, False, False]
    """
    return not {"acc", "accuracy"}.isdisjoint(_words(name))


def format_metric(name: str, value: float) -> str:
    """Format a value.

    Example:
        >>> format_metric("val/acc", 0.91234), format_metric("val/f1", 0.8), format_metric("images_per_second", 1234.5)
        ('91.23%', '0.8000', '1,234')
    """
    if name == "images_per_second":
        return f"{value:,.0f}"
    return f"{value:.2%}" if is_percentage(name) and not math.isnan(value) else f"{value:.4f}"


def describe_best_score(name: str, mode: str | None = None) -> str:
    """Describe the best value of a metric for tables.

    Args:
        name: the metric.
        mode: ``min`` or ``max`` in the run; None if unknown.

    Example:
        >>> describe_best_score("val/acc"), describe_best_score("val/f1"), describe_best_score("val/loss", "max")
        ('best validation accuracy', 'best val/f1', 'highest validation loss')
    """
    if name == "val/loss":
        return "highest validation loss" if mode == "max" else "lowest validation loss"
    if name == MULTILABEL_MONITOR:
        return "best mean average precision"
    if name == "val/acc":
        return "lowest validation accuracy" if mode == "min" else "best validation accuracy"
    return f"best {name}"


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))
