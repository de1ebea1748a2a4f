"""What a word without quotes becomes is decided by the type that its key wants."""

import contextlib
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import jsonargparse._typehints

from cnnkit.scalars import PlainScalar, plain, read_scalar

_typehints: Any = jsonargparse._typehints
_NUMBERS = (int, float, bool)
_TOO_LARGE = 2**63  # for torch


@contextlib.contextmanager
def scalars_by_type() -> Iterator[None]:
    """Within it, jsonargparse asks `read_as` about every `PlainScalar`.

    jsonargparse has no setting for it: its YAML loader decides before the type is known. Its function that fits a value
    to a type calls itself for the members of a type, so that one place sees them all.
    """
    original = _typehints.adapt_typehints

    def adapt(value: Any, kind: Any, *args: Any, **options: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, PlainScalar) and kind in _NUMBERS:
            read = read_scalar(value)  # in quotes
            value = PlainScalar(value) if value.strip("+-").lower() in ("inf", "nan") else read
        if isinstance(value, PlainScalar):
            value = read_as(value, kind)
        elif isinstance(value, str) and _typehints.accepts_any_value(kind):
            return value  # in quotes
        if _typehints.accepts_any_value(kind) or (kind in (dict, list, tuple) and not get_args(kind)):
            value = plain(value)
        return original(value, kind, *args, **options)

    _typehints.adapt_typehints = adapt
    try:
        yield
    finally:
        _typehints.adapt_typehints = original


def read_as(scalar: PlainScalar, kind: Any) -> Any:
    """What a word means for a key of a type.

    Args:
        scalar: the word.
        kind: the type: text for ``str``, a number for ``float``; of a union a number where one fits, else text.

    Raises:
        ValueError: if a number is due and people and YAML mean different ones.
    """
    if kind is str or (isinstance(kind, type) and (issubclass(kind, Enum) or _typehints.get_registered_type(kind))):
        return str(scalar)
    members = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
    if str(scalar) in choices or (len(members) == 1 and choices and all(isinstance(choice, str) for choice in choices)):
        return str(scalar)
    value = plain(scalar)
    if int in members and float not in members and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e3 is as good a whole number as 1000
    too_large = int in members and type(value) is int and abs(value) >= _TOO_LARGE
    if too_large and str not in members:
        raise ValueError(f"'{scalar}' is too large for a whole number")
    if bool in members and not {int, float} & set(members) and value in (0, 1):
        value = bool(value)
    if str in members and (too_large or not any(_fits(value, member) for member in members)):
        return str(scalar)
    return scalar.value if isinstance(value, str) and set(members) & set(_NUMBERS) else value


def _fits(value: Any, kind: Any) -> bool:
    return kind in _NUMBERS and (type(value) is kind or (kind is float and type(value) is int))
