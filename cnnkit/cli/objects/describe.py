"""Describes objects as a configuration file does: by their class, and by the arguments that made them.

Objects of cnnkit remember their arguments. Of others, the arguments are read from the attributes of the same names, as
scikit-learn does. Whether a description is true is decided by what it builds, see `cnnkit.cli.objects.verify`.
"""

import enum
import os
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from cnnkit.cli.objects.libraries import find_factory, name_library
from cnnkit.cli.parsing.classes import find_import_path, list_arguments, resolve_class
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.errors import UserError
from cnnkit.optim.factories import plain_factory
from cnnkit.recorded import read_call

_PLAIN = (bool, int, float, str, type(None))
_AS_PARTIAL = "functools.partial(torch.optim.SGD, lr=0.1)"


def describe(value: Any, key: str) -> Any:
    """Describe a value in plain ones: objects and partials by ``class_path`` and ``init_args``, classes by their path.

    Args:
        value: of a key of the configuration, such as ``model``.
        key: to name in an error.

    Raises:
        UserError: nothing in a file could stand for the value.
    """
    if isinstance(value, enum.Enum):
        return value.name
    if type(value) in _PLAIN:
        return value
    if isinstance(value, os.PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): describe(part, f"{key}.{name}") for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [describe(part, key) for part in value]
    if isinstance(value, partial):
        return _describe_partial(value, key)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return find_path(value, key)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Tensor):
        raise UserError(f"{key} is a tensor, which config.yaml cannot hold: give numbers")
    return _describe_object(value, key)


def find_path(target: Any, key: str) -> str:
    """Find the path by which commands import a class or function.

    Raises:
        UserError: it has none.
    """
    name = getattr(target, "__qualname__", type(target).__name__)
    if "<lambda>" in name:
        raise UserError(
            f"{key} is a lambda, which config.yaml cannot hold: give a class, {_AS_PARTIAL}, or a function with a name"
        )
    if "<locals>" in name:
        raise UserError(f"{key}: {name.rpartition('.')[2]} is defined within a function: define it at the top level")
    path = find_import_path(target)
    found = resolve_class(path)
    if found is None:
        raise UserError(f"{key}: {path} cannot be imported by this name: define it at the top level of a module")
    if found is not target:
        raise UserError(f"{key}: {path} was defined again after this object was made: make the object again")
    return path


def list_unkept(net: object) -> list[str]:
    """List the arguments of an object's constructor that it keeps neither recorded nor as attributes."""
    if read_call(net) is not None:
        return []
    return [name for name, argument in list_arguments(type(net)).items() if not _keeps(net, name, argument.parameter)]


def _describe_partial(value: "partial[Any]", key: str) -> dict[str, Any]:
    value = cast("partial[Any]", plain_factory(value))
    if value.args:
        raise UserError(f"{key}: a partial has an argument without a name: name it, as in {_AS_PARTIAL}")
    return _spec(value.func, value.keywords, key)


def _describe_object(value: Any, key: str) -> dict[str, Any]:
    call = read_call(value)
    if call is not None:
        if isinstance(call.target, type) and call.target is not type(value):
            raise UserError(f"{key}: the class of this object was changed after it was made")
        try:
            return _spec(call.target, call.bind(), key)
        except TypeError as error:
            raise UserError(f"{key}: {error}; give them by name") from None
    if type(value).__name__ == "OptimizedModule":  # of `torch.compile(net)`
        raise UserError(f"{key} is compiled: give the net itself, and compile_net=True to the task")
    if isinstance(value, nn.Module) and (library := name_library(value)):
        if library == "timm":
            raise UserError(f"{key}: make it by cnnkit.TimmNet(3, 10, 224, name=...), which a run can build again")
        factory = find_factory(value)
        if factory is None:
            raise UserError(
                f"{key}: no function of {library} makes this {type(value).__name__}, with its own last layer or one of "
                "other classes: make and change it in the constructor of a class of your own"
            )
        return _spec(factory.target, factory.kwargs, key)
    return _spec(type(value), _read_attributes(value, key), key)


def _spec(target: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"class_path": find_path(target, key)}
    found = {name: describe(value, f"{key}.{name}") for name, value in arguments.items()}
    return {**spec, "init_args": found} if found else spec


def _read_attributes(value: Any, key: str) -> dict[str, Any]:
    """Read the arguments of an object from its attributes; those that it does not keep have their defaults."""
    kind = type(value)
    try:
        unnamed = [p for p in signature(kind).parameters.values() if p.kind is Parameter.VAR_POSITIONAL]
    except (TypeError, ValueError):  # written in C
        unnamed = []
    if unnamed or not hasattr(value, "__dict__"):
        what = "takes arguments without names" if unnamed else "does not say how it was made"
        raise UserError(
            f"{key}: {kind.__name__} {what}, so config.yaml cannot hold it: make it in the constructor of a class of "
            "your own"
        )
    found: dict[str, Any] = {}
    for name, argument in list_arguments(kind).items():
        if _keeps(value, name, argument.parameter):
            found[name] = getattr(value, name)
        elif argument.is_required and name not in LINKED:
            raise UserError(
                f"{key}: {kind.__name__} does not keep its argument {name}, so nobody can see how it was made: "
                f"write self.{name} = {name} in its constructor"
            )
    return found


def _keeps(value: Any, name: str, parameter: Parameter) -> bool:
    """Whether an attribute holds an argument; a layer of the same name is no plain argument."""
    if not hasattr(value, name):
        return False
    plain = isinstance(parameter.default, (bool, int, float, str, tuple))
    return not (plain and isinstance(getattr(value, name), (nn.Module, Tensor)))
