"""The objects of a configuration are built one by one, so that a value which a class refuses names its key.

What a class refuses is found out by building it again without one argument at a time, not from the words of the error:
these are torch's, Lightning's and everybody else's.
"""

import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import cnnkit
from cnnkit.cli.classes import resolve_class, short_name
from cnnkit.cli.configuration import Configuration, arguments_in
from cnnkit.errors import UserError
from cnnkit.scalars import as_word

_PATIENCE = 5.0  # seconds for building again
_PACKAGE, _STANDARD = Path(cnnkit.__file__).parent, Path(sysconfig.get_path("stdlib"))


class RefusedValue(UserError):
    """A value that a class refuses, with its key."""


class Construction:
    """Builds objects as jsonargparse's instantiator.

    Args:
        given: what somebody wrote.
        resolved: returns the configuration with all defaults.
    """

    def __init__(self, given: Configuration, resolved: Callable[[], dict[str, Any]]) -> None:
        self.given, self.resolved = given, resolved

    def __call__(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object of a class, or call a function that does.

        Raises:
            RefusedValue: if the class refuses one of the arguments.
        """
        return self.build(kind, kind, args, kwargs)

    def build(self, make: Callable[..., Any], kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As a call, where another function than the class itself makes the object."""
        began = time.monotonic()
        try:
            return make(*args, **kwargs)
        except RefusedValue:
            raise
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError) or not is_refusal(error):
                raise
            key = self._key(kind, kwargs)
            if key is None:
                raise
            patient = time.monotonic() - began < _PATIENCE / 2
            names = self._culprits(make, args, kwargs, key) if patient else []
            raise RefusedValue(self._describe(error, kind, key, names)) from error

    def _key(self, kind: Any, kwargs: dict[str, Any]) -> str | None:
        """Where in the configuration the object stands: the place of that class, and of these arguments."""
        places = [
            (key, node) for key, node in _class_nodes(self.resolved()) if resolve_class(node["class_path"]) is kind
        ]
        fitting = [key for key, node in places if _agree(arguments_in(node), kwargs)]
        return next(iter([*fitting, *(key for key, _ in places)]), None)

    def _culprits(self, make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> list[str]:
        """The arguments without any one of which the object can be built; if there are none, all that were given."""
        written = [name for name in arguments_in(self.given.get(key)) if name in kwargs]
        found, end = [], time.monotonic() + _PATIENCE
        for name in written if len(written) > 1 else ():
            if time.monotonic() > end:
                break
            try:
                make(*args, **{other: value for other, value in kwargs.items() if other != name})
            except Exception:  # it is refused for another one, or needs this one
                continue
            found.append(name)
        return found or written

    def _describe(self, error: Exception, kind: Any, key: str, names: list[str]) -> str:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 200 else reason[:197] + "..."
        if not names:
            return f"{self.given.origin.where(key)}{key}: {short_name(kind.__name__)} cannot be built: {reason}"
        where = self.given.origin.where(f"{key}.{names[0]}")
        arguments = arguments_in(self.given.get(key))
        listed = " and ".join(f"{key}.{name} is {as_word(arguments[name])}" for name in names[:3])
        if isinstance(error, UserError) and len(names) == 1 and reason.startswith(f"{names[0]} "):
            return f"{where}{key}.{reason}"
        return f"{where}{listed}: {reason}"


def is_refusal(error: Exception) -> bool:
    """Whether an error of a constructor is about a value, and not a bug in somebody's own code."""
    if isinstance(error, (ValueError, MemoryError)):
        return True
    return not passes_own_code(error)


def passes_own_code(error: BaseException) -> bool:
    """Whether an error was raised in, or below, code that is neither cnnkit's nor a library's."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(_is_own(Path(file)) for file in files if not file.startswith("<"))


def _is_own(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return not (installed or file.is_relative_to(_PACKAGE) or file.is_relative_to(_STANDARD))


def _class_nodes(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a resolved configuration that names a class, with its key."""
    if isinstance(node, list):
        for part in node:
            yield from _class_nodes(part, key)
    if isinstance(node, dict):
        if isinstance(node.get("class_path"), str):
            yield key, node
        for name, part in arguments_in(node).items():
            yield from _class_nodes(part, f"{key}.{name}" if key else name)


def _agree(written: dict[str, Any], kwargs: dict[str, Any]) -> bool:
    simple = {n: v for n, v in kwargs.items() if v is None or isinstance(v, (bool, int, float, str))}
    return all(written.get(name, value) == value for name, value in simple.items())
