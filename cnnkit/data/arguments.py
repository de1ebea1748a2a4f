"""Numbers that a data module takes, checked when it is made and not when its batches are."""

from cnnkit.errors import UserError


def check_least(least: int, **numbers: float) -> None:
    """Refuse smaller numbers.

    Raises:
        UserError: naming the argument, its value and the least that it may be.
    """
    for name, value in numbers.items():
        if value < least:
            raise UserError(f"{name} is {value}: give at least {least}")


def check_share(**numbers: float) -> None:
    """Refuse what is no share above 0.

    Raises:
        UserError: naming the argument and its value.
    """
    for name, value in numbers.items():
        if not 0 < value <= 1:
            raise UserError(f"{name} is {value}: give a share above 0 and at most 1")
