"""Checks of a data module's arguments, when it is made and not when its first batch is."""

import math
from collections.abc import Sequence
from typing import get_args

from cnnkit.data.sampling import Sampling
from cnnkit.errors import UserError
from cnnkit.sizes import ImageSize, as_height_width


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


def check_store_size(store_size: ImageSize | None, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return the height and width of stored training images; None if it is that of the net's input, or not given.

    Raises:
        UserError: a side is smaller than that of the input, or more than twice as long.
    """
    stored = as_height_width(size if store_size is None else store_size)
    if not all(side <= kept <= 2 * side for side, kept in zip(size, stored, strict=True)):
        height, width = size
        raise UserError(f"store_size is {store_size}: give image_size, which is {height}x{width}, up to twice that")
    return None if stored == size else stored


def find_mean_and_std(
    mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel; those of ImageNet if none are given.

    Raises:
        UserError: they are not one number a channel.
    """
    means = tuple(mean or ((0.485, 0.456, 0.406) if channels == 3 else (0.449,)))
    deviations = tuple(std or ((0.229, 0.224, 0.225) if channels == 3 else (0.226,)))
    if not len(means) == len(deviations) == channels:
        raise UserError(f"mean {means} and std {deviations} need {channels} numbers each, one a channel")
    return means, deviations


def check_training_part(
    folds: int | None, fold: int, sampling: str = "shuffle", imbalance_ratio: float | None = None
) -> None:
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
