"""Classes by the names that configurations use, and their arguments."""

import inspect
import types
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple, Union, get_args, get_origin

# Where a name without dots is looked for, in this order.
HOMES = (
    "cnnkit.models",
    "cnnkit.tasks",
    "cnnkit.data",
    "cnnkit.transforms",
    "cnnkit.callbacks",
    "cnnkit.optim",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "timm.optim",  # last, because their import takes seconds
    "timm.scheduler",
)


class Argument(NamedTuple):
    """An argument of a class or function, and the class whose ``__init__`` defines it."""

    owner: Any
    parameter: inspect.Parameter


def resolve_class(name: str) -> Any:
    """The class or function of a dotted or short name; None where there is no such thing, or its module fails."""
    module, _, last = name.rpartition(".")
    for home in [module] if module else HOMES:
        try:
            found = getattr(import_module(home), last, None)
        except (Exception, SystemExit):  # why: see `cnnkit.cli.errors.broken_modules`
            continue
        if callable(found):
            return found
    return None


def arguments_of(name: str) -> dict[str, Argument]:
    """The arguments by name, those that an ``__init__`` hands on to the class above included."""
    found = resolve_class(name)
    arguments: dict[str, Argument] = {}
    for part in inspect.getmro(found) if isinstance(found, type) else [found]:
        if part is None or (isinstance(part, type) and not {"__init__", "__new__"} & vars(part).keys()):
            continue
        try:
            own = inspect.signature(part).parameters
        except (TypeError, ValueError):  # written in C
            continue
        named = {n: Argument(part, p) for n, p in own.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        arguments = {**named, **arguments}
        if not any(p.kind == p.VAR_KEYWORD for p in own.values()):  # else it hands on to the class above
            break
    return arguments


def parameters_of(name: str) -> dict[str, inspect.Parameter]:
    """The parameters by name of a class or function; see `arguments_of`."""
    return {name: argument.parameter for name, argument in arguments_of(name).items()}


def is_same_class(one: str, other: str) -> bool:
    """Whether two names, each dotted or short, are those of one class."""
    if one == other:
        return True
    first, second = resolve_class(one), resolve_class(other)
    return first is not None and first is second


def shared_arguments(one: str, other: str) -> set[str]:
    """Arguments that mean the same to a class and its subclass: one definition, or both need one of the same type."""
    first, second = resolve_class(one), resolve_class(other)
    related = (
        isinstance(first, type)
        and isinstance(second, type)
        and (issubclass(first, second) or issubclass(second, first))
    )
    if not related:
        return set()
    ours, theirs = arguments_of(one), arguments_of(other)
    return {name for name in ours.keys() & theirs.keys() if _is_shared(ours[name], theirs[name])}


def _is_shared(one: Argument, other: Argument) -> bool:
    needed = one.parameter.default is other.parameter.default is inspect.Parameter.empty
    return one.owner is other.owner or (needed and one.parameter.annotation == other.parameter.annotation)


def takes_list(owner: str, name: str) -> bool:
    """Whether an argument of a class can be a list of things."""
    parameter = parameters_of(owner).get(name)
    return parameter is not None and any(_origin(kind) in (list, tuple, Sequence) for kind in _members(parameter))


def takes_mapping(owner: str, name: str) -> bool:
    """Whether an argument of a class can be a mapping."""
    parameter = parameters_of(owner).get(name)
    return parameter is not None and any(_origin(kind) is dict for kind in _members(parameter))


def takes_text(owner: str, name: str) -> bool:
    """Whether an argument of a class can be text."""
    parameter = parameters_of(owner).get(name)
    return parameter is not None and any(_origin(kind) is str for kind in _members(parameter))


def _members(parameter: inspect.Parameter) -> Sequence[Any]:
    kind = parameter.annotation
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else [kind]


def _origin(kind: Any) -> Any:
    if isinstance(kind, str):  # an annotation that is not evaluated
        return {"list": list, "tuple": tuple, "dict": dict, "Sequence": Sequence, "str": str}.get(
            kind.partition("[")[0]
        )
    return get_origin(kind) or kind


def short_name(path: str) -> str:
    """The last part of a dotted path."""
    return path.rsplit(".", 1)[-1]
