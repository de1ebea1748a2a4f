"""Values to try for an argument, from its annotation: ordinary ones, those at the edge, and wrong ones."""

import datetime
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, Literal, Union, get_args, get_origin

Parameter = inspect.Parameter


def arguments(target: Callable[..., Any]) -> dict[str, Parameter]:
    """The named arguments of a class or function."""
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {name: p for name, p in inspect.signature(target).parameters.items() if p.kind in kinds}


def values(parameter: Parameter) -> list[str]:
    """Words of the command line for an argument; the wrong ones last, and at least one of those where there can be one.

    A text is given only where nothing else is taken: what texts an argument takes no annotation says.
    """
    kinds = list(_kinds(parameter.annotation))
    found: list[str] = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            found += [str(choice) for choice in get_args(kind)]
        elif isinstance(kind, type):
            found += next((words for known, words in ORDINARY if issubclass(kind, known)), [])
    if type(None) in kinds:
        found.append("null")
    wrong = ["nonsense"] if _has_choices(kinds) else []
    return list(dict.fromkeys(found + wrong))


# Ordinary values, then those at the edge. A bool is an int to Python, so it comes first.
ORDINARY: list[tuple[type, list[str]]] = [
    (bool, ["true", "false"]),
    (int, ["2", "1", "0", "-1"]),
    (float, ["0.5", "1.0", "0.0", "2.5", "-0.5"]),
    (datetime.timedelta, ["00:00:10:00"]),
]


def _kinds(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield type(None) if annotation is None else annotation


def _has_choices(kinds: list[Any]) -> bool:
    """Whether there is a text that the argument cannot mean."""
    return bool(kinds) and Parameter.empty not in kinds and Any not in kinds
