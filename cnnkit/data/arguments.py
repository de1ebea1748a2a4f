"""Checks of a data module's arguments, when it is made and not when its first batch is."""

import math
from typing import get_args

from cnnkit.data.sampling import Sampling
from cnnkit.errors import UserError


def check_at_least(least: int, **numbers: float) -> None:
    """Refuse a smaller number with a `UserError` that names the argument."""
    for name, value in numbers.items():
        if value < least:
            raise UserError(f"{name} is {value}: give at least {least}")


def check_share(**numbers: float) -> None:
    """Refuse a number outside (0, 1] with a `UserError` that names the argument."""
    for name, value in numbers.items():
        if not 0 < value <= 1:
            raise UserError(f"{name} is {value}: give a share above 0 and at most 1")


def check_training_part(folds: int | None, fold: int, sampling: str, imbalance_ratio: float | None) -> None:
    """Refuse arguments that cannot decide which images train, and in which order, with a `UserError`."""
    if sampling not in get_args(Sampling):
        raise UserError(f"sampling is {sampling!r}: choose one of {', '.join(get_args(Sampling))}")
    if imbalance_ratio is not None and not 1 <= imbalance_ratio < math.inf:
        raise UserError(f"imbalance_ratio is {imbalance_ratio}: give the largest class by the smallest, at least 1")
    if folds is not None and folds < 2:
        raise UserError(f"folds is {folds}: give at least 2, or leave it out")
    if folds is None and fold:
        raise UserError(f"fold is {fold}, but there are no folds: set data.folds as well")
    if folds is not None and not 0 <= fold < folds:
        raise UserError(f"fold is {fold}: of {folds} folds give one from 0 to {folds - 1}")
