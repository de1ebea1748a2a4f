"""Checks of a data module's arguments, when it is made and not when its first batch is."""

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
