"""Finds classes by the names that configurations use, and the types of their arguments."""

import enum
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# Where a name without dots is looked for, in this order.
HOMES = (
    "cnnkit.models",
    "cnnkit.tasks",
    "cnnkit.distillation",
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
TIMM = {"timm.optim": Optimizer, "timm.scheduler": LRScheduler}
LISTS = (list, tuple, set, frozenset, Sequence, Iterable)


class Argument(NamedTuple):
    """An argument of a class or function; `owner` is the class whose ``__init__`` defines it."""

    owner: Any
    parameter: inspect.Parameter
    type: Any

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.parameter.default is inspect.Parameter.empty


def resolve_class(name: str, bases: tuple[Any, ...] = ()) -> Any:
    """Find the class or function of a dotted or short name.

    Args:
        name: such as ``CNN`` or ``torch.optim.SGD``.
        bases: a short name means a subclass of one of these, if there are any.

    Returns:
        None where there is no such thing, or its module fails; why: see `cnnkit.cli.errors.exceptions`.
    """
    module, _, last = name.rpartition(".")
    for home in [module] if module else HOMES:
        if bases and home in TIMM and TIMM[home] not in bases:
            continue
        try:
            found = getattr(import_module(home), last, None)
        except (Exception, SystemExit):
            continue
        if callable(found) and (module or not bases or (isinstance(found, type) and issubclass(found, bases))):
            return found
    return None


def find_import_path(found: Any) -> str:
    """Return the shortest dotted path by which a class or function can be imported."""
    name, parts = found.__qualname__, found.__module__.split(".")
    for end in range(1, len(parts)):
        module = ".".join(parts[:end])
        if getattr(import_module(module), name, None) is found:
            return f"{module}.{name}"
    return f"{found.__module__}.{name}"


def list_arguments(name: Any) -> dict[str, Argument]:
    """List the arguments of a class or function, or of its name; includes those that go on to the class above."""
    found = resolve_class(name) if isinstance(name, str) else name
    return {} if found is None else _collect_arguments(found)


@functools.cache
def _collect_arguments(found: Any) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for part in inspect.getmro(found) if isinstance(found, type) else [found]:
        if isinstance(part, type) and not {"__init__", "__new__"} & vars(part).keys():
            continue
        try:
            own = inspect.signature(part).parameters
        except (TypeError, ValueError):  # written in C
            continue
        hints = _hints(part)
        named = {
            n: Argument(part, p, hints.get(n, p.annotation))
            for n, p in own.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        }
        arguments = {**named, **arguments}
        if not any(p.kind == p.VAR_KEYWORD for p in own.values()):  # else it passes them to the class above
            break
    return arguments


def _hints(part: Any) -> dict[str, Any]:
    try:
        return get_type_hints(vars(part).get("__init__", part) if isinstance(part, type) else part)
    except Exception:  # a name that is imported for type checkers alone
        return {}


def list_parameters(name: Any) -> dict[str, inspect.Parameter]:
    """List the parameters by name of a class or function; see `list_arguments`."""
    return {name: argument.parameter for name, argument in list_arguments(name).items()}


def is_same_class(one: str, other: str) -> bool:
    """Whether two names, each dotted or short, are those of one class."""
    return one == other or ((found := resolve_class(one)) is not None and found is resolve_class(other))


def shared_arguments(one: str, other: str) -> set[str]:
    """List arguments that mean the same to a class and its subclass: of one definition, or of the same needed type."""
    first, second = resolve_class(one), resolve_class(other)
    if not isinstance(first, type) or not isinstance(second, type):
        return set()
    if not issubclass(first, second) and not issubclass(second, first):
        return set()
    ours, theirs = list_arguments(first), list_arguments(second)
    return {name for name in ours.keys() & theirs.keys() if _is_shared(ours[name], theirs[name])}


def _is_shared(one: Argument, other: Argument) -> bool:
    needed = one.is_required and other.is_required
    return one.owner is other.owner or (needed and one.parameter.annotation == other.parameter.annotation)


# ---- types -----------------------------------------------------------------------------------------------------------


def list_members(kind: Any) -> tuple[Any, ...]:
    """List the types of a union, its own unions resolved; any other type stands alone."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(member for part in get_args(kind) for member in list_members(part))
    return (kind,)


def list_bases(kind: Any) -> tuple[type, ...]:
    """List the classes of which a value of a type is an object, or which a callable of that type returns."""
    bases: list[type] = []
    for member in list_members(kind):
        if _origin(member) is Callable:
            bases += list_bases(get_args(member)[1]) if get_args(member) else []
        elif isinstance(_origin(member), type) and _is_class_of_objects(_origin(member)):
            bases.append(_origin(member))
    return tuple(bases)


def _is_class_of_objects(kind: type) -> bool:
    plain = kind.__module__ in ("builtins", "datetime", "pathlib", "collections.abc", "os")
    return not plain and not issubclass(kind, (enum.Enum, Tensor))


def _origin(kind: Any) -> Any:
    if isinstance(kind, str):  # an annotation that cannot be evaluated
        names = {"list": list, "tuple": tuple, "dict": dict, "Sequence": Sequence, "str": str}
        return names.get(kind.partition("[")[0])
    return get_origin(kind) or kind


def takes(kind: Any, *wanted: Any) -> bool:
    """Whether a type, or a member of it, is one of the wanted ones, whatever it holds."""
    return any(_origin(member) in wanted for member in list_members(kind))


def takes_argument(owner: Any, name: str, *wanted: Any) -> bool:
    """Whether an argument of a class can be of one of the wanted types; see `takes`."""
    argument = list_arguments(owner).get(name)
    return argument is not None and takes(argument.type, *wanted)


def list_item_types(kind: Any, count: int) -> list[Any]:
    """List the types of the items of a list whose type is given."""
    for member in list_members(kind):
        if _origin(member) in LISTS and (args := get_args(member)):
            if _origin(member) is tuple and args[-1] is not Ellipsis:
                return [*args, *[Any] * count][:count]
            return [args[0]] * count
    return [Any] * count


def find_value_type(kind: Any) -> Any:
    """Return the type of the values of a mapping whose type is given."""
    for member in list_members(kind):
        if _origin(member) in (dict, Mapping) and len(get_args(member)) == 2:
            return get_args(member)[1]
    return Any


def list_choices(kind: Any) -> list[Any]:
    """List the values of the literals in a type."""
    return [choice for member in list_members(kind) if get_origin(member) is Literal for choice in get_args(member)]


def shorten_path(path: str) -> str:
    """Return the last part of a dotted path."""
    return path.rsplit(".", 1)[-1]
