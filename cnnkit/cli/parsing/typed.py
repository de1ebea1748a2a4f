"""Gives every written value the type that its key wants, and every class its whole name.

jsonargparse's YAML loader decides what a word is before the type is known. Here the type decides: ``1e3`` is a number
for a float, and a name for a text. What comes out is read in one way only.
"""

import enum
import inspect
from collections.abc import Mapping
from typing import Any

from jsonargparse import Namespace

from cnnkit.cli.parsing.classes import (
    Argument,
    find_import_path,
    find_value_type,
    list_arguments,
    list_bases,
    list_choices,
    list_item_types,
    list_members,
    resolve_class,
    takes,
)
from cnnkit.config_files.scalars import PlainScalar, plain, read_scalar
from cnnkit.errors import UserError

SPEC = {"class_path", "init_args", "dict_kwargs"}
PASSED = {"params", "optimizer"}  # arguments that no configuration has
_NUMBERS = (int, float, bool)
_UNTYPED = (Any, object, inspect.Parameter.empty)
_TOO_LARGE = 2**63  # for torch


class Text(str):
    """Text that jsonargparse takes as it is; a `str` it reads as YAML once more."""

    __slots__ = ()


class UntypedText(Text):
    """Text for an argument without a type, which jsonargparse reads once more when it builds the object, too."""

    __slots__ = ()


def strip_marks(value: Any, marks: tuple[type, ...] = (Text, UntypedText)) -> Any:
    """Return nested values with every marked text as a `str`; a namespace is changed in place."""
    if type(value) in marks:
        return str(value)
    if isinstance(value, Namespace):
        for name, part in list(vars(value).items()):
            vars(value)[name] = strip_marks(part, marks)
    if type(value) is dict:
        return {key: strip_marks(part, marks) for key, part in value.items()}
    return type(value)(strip_marks(part, marks) for part in value) if type(value) in (list, tuple) else value


def type_values(value: Any, kind: Any, key: str, default: Any = None) -> Any:
    """Return a value with all numbers, texts and names of classes in it as their types want them.

    Args:
        value: plain values and `PlainScalar`, classes as mappings with ``class_path``.
        kind: the type that it is for.
        key: to name in an error.
        default: of the argument; where it is a class, a mapping without ``class_path`` is about this one.

    Raises:
        UserError: a word means one number to people and another one to YAML.
    """
    if isinstance(value, str):
        try:
            return read_as(value, kind) if isinstance(value, PlainScalar) else _type_text(value, kind, key, default)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(f"{key}: {error}") from None
    if isinstance(value, list):
        kinds = list_item_types(kind, len(value))
        return [type_values(part, member, key) for part, member in zip(value, kinds, strict=True)]
    if not isinstance(value, dict):
        return value
    bases = list_bases(kind)
    if not (bases or value.keys() & SPEC):
        return {name: type_values(part, find_value_type(kind), f"{key}.{name}") for name, part in value.items()}
    return _type_class(value, bases, key, default)


def _type_text(value: str, kind: Any, key: str, default: Any) -> Any:
    bases = list_bases(kind)
    if not bases or takes(kind, str):
        if takes(kind, *_NUMBERS) and not takes(kind, str):  # in quotes
            scalar = read_scalar(value)
            return read_as(scalar, kind) if isinstance(scalar, PlainScalar) else value
        return UntypedText(value) if not bases and takes(kind, *_UNTYPED) else Text(value)
    spec = _type_class({"class_path": value}, bases, key, default)
    return spec if spec.keys() > {"class_path"} else spec["class_path"]


def _type_class(value: dict[str, Any], bases: tuple[type, ...], key: str, default: Any) -> dict[str, Any]:
    has_spec = bool(value.keys() & SPEC)
    spec: dict[str, Any] = dict(value) if has_spec else {"init_args": value}
    written = spec.get("class_path")
    if isinstance(written, str) and not isinstance(written, PlainScalar):
        found = resolve_class(written, bases)
        if found is not None and "." not in written:
            spec["class_path"] = find_import_path(found)
    else:
        found = default if isinstance(default, type) else bases[0] if bases else None
    arguments = list_arguments(found) if found is not None else {}
    for part in ("init_args", "dict_kwargs"):
        if isinstance(spec.get(part), dict):
            spec[part] = type_arguments(spec[part], arguments, key)
    if isinstance(default, type) and written is not None and found is not default:
        # jsonargparse would keep what the default class has and this one takes as well, such as a learning rate.
        kept = list_arguments(default).keys() - PASSED
        shared = {name: argument for name, argument in arguments.items() if name in kept}
        own = spec.get("init_args") or {}
        if missing := [name for name, argument in shared.items() if argument.is_required and name not in own]:
            raise UserError(f"{key}.{missing[0]}: is required and was not given; add --{key}.{missing[0]} VALUE")
        spec["init_args"] = {**{name: argument.parameter.default for name, argument in shared.items()}, **own}
    return spec if has_spec else spec["init_args"]


def type_arguments(values: Mapping[str, Any], arguments: Mapping[str, Argument], key: str) -> dict[str, Any]:
    """Return the values of a class's arguments as `type_values` does; one that the class does not have has any type."""
    typed = {}
    for name, value in values.items():
        argument = arguments.get(name.removesuffix("+"))
        kind, default = (argument.type, argument.parameter.default) if argument else (Any, None)
        typed[name] = type_values(value, kind, f"{key}.{name}" if key else name, default)
    return typed


def read_as(scalar: PlainScalar, kind: Any) -> Any:
    """Return what a word means for a key of a type; of a union a number where one fits, else text.

    Raises:
        ValueError: if a number is due and people and YAML mean different ones.
    """
    if _is_written(kind):
        return Text(scalar)
    members, choices = list_members(kind), list_choices(kind)
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
        return Text(scalar)
    return scalar.value if isinstance(value, str) and set(members) & set(_NUMBERS) else value


def _is_written(kind: Any) -> bool:
    """Whether values of a type are written as text: text itself, members of an enumeration, paths, times."""
    return kind is str or (
        isinstance(kind, type) and (issubclass(kind, enum.Enum) or kind.__module__ in ("datetime", "pathlib"))
    )


def _fits(value: Any, kind: Any) -> bool:
    return kind in _NUMBERS and (type(value) is kind or (kind is float and type(value) is int))
