"""The objects of a configuration are built one by one, so that a value which a class refuses names its key.

What a class refuses is found out by building it again without one argument at a time, not from the words of the error:
these are torch's, Lightning's and everybody else's.
"""

import contextlib
import re
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import cnnkit
from cnnkit.cli.errors.plain_words import plain_words
from cnnkit.cli.parsing.classes import parameters_of, resolve_class, short_name
from cnnkit.cli.parsing.configuration import Configuration, arguments_in, class_paths
from cnnkit.errors import UserError
from cnnkit.scalars import as_word, plain

_PATIENCE = 5.0  # seconds for building again
_PACKAGE, _STANDARD = Path(cnnkit.__file__).parent, Path(sysconfig.get_path("stdlib"))


class ConstructionFailed(BaseException):
    """Carries an error through jsonargparse, which would try the next type of a union and report on all of them."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@contextlib.contextmanager
def failures_as_raised() -> Iterator[None]:
    """Within it, what a `Construction` could not build ends with its own error."""
    try:
        yield
    except ConstructionFailed as failed:
        raise failed.error from failed.error.__cause__


class Construction:
    """Builds objects as jsonargparse's instantiator.

    Args:
        given: what somebody wrote.
        resolved: returns the configuration with all defaults.
        tries_nets: show every net one image.
    """

    def __init__(self, given: Configuration, resolved: Callable[[], dict[str, Any]], *, tries_nets: bool) -> None:
        self.given, self.resolved, self.tries_nets = given, resolved, tries_nets

    def __call__(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object of a class, or call a function that does."""
        return self.build(partial(self._make, kind), kind, args, kwargs)

    def _make(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        if self.tries_nets and isinstance(made, nn.Module) and {"in_channels", "image_size"} <= kwargs.keys():
            show_one_image(made, kwargs["in_channels"], kwargs["image_size"], kwargs.get("num_classes"))
        return made

    def build(self, make: Callable[..., Any], kind: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As a call, where another function than the class itself makes the object.

        Raises:
            ConstructionFailed: with a `UserError` if the class refuses an argument, else with what was raised.
        """
        began = time.monotonic()
        try:
            return make(*args, **kwargs)
        except Exception as error:
            key = self._key(kind, kwargs)
            if key is None or isinstance(error, torch.OutOfMemoryError) or not is_refusal(error):
                raise ConstructionFailed(error) from None
            patient = time.monotonic() - began < _PATIENCE / 2
            refusal = UserError(self._describe(error, make, kind, key, args, kwargs, patient))
            refusal.__cause__ = error
            raise ConstructionFailed(refusal) from None

    def _key(self, kind: Any, kwargs: dict[str, Any]) -> str | None:
        """Where in the configuration the object stands: the place of that class, and of these arguments."""
        places = [
            (key, node) for key, node in _class_nodes(self.resolved()) if resolve_class(node["class_path"]) is kind
        ]
        fitting = [key for key, node in places if _agree(arguments_in(node), kwargs)]
        return next(iter([*fitting, *(key for key, _ in places)]), None)

    def _written(self, kind: Any, key: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments that somebody wrote for an object; in a list, for the one that they agree with."""
        there = self.given.get(key)
        listed = there if isinstance(there, list) else [there]
        nodes = [
            arguments_in(node) for node in listed if len(listed) == 1 or kind in map(resolve_class, class_paths(node))
        ]
        written = next((node for node in nodes if _agree(plain(node), kwargs)), nodes[-1] if nodes else {})
        return {name: value for name, value in written.items() if name in kwargs}

    def _describe(
        self,
        error: Exception,
        make: Callable[..., Any],
        kind: Any,
        key: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        patient: bool,
    ) -> str:
        """A sentence with the argument that is to blame, if there is one."""
        ours = isinstance(error, UserError)  # it names reason and remedy, so none of it is cut
        reason = " ".join(str(error).split()) if ours else plain_words(error)
        reason = reason if ours or len(reason) <= 200 else f"{reason[:197]}..."
        written = self._written(kind, key, kwargs)
        if ours and any(isinstance(value, str) and value and reason.startswith(value) for value in written.values()):
            return reason  # it begins with the file or folder that it is about
        named = re.match(r"\w+", reason)
        if ours and named is not None and named[0] in written:
            return f"{self.given.origin.where(f'{key}.{named[0]}')}{key}.{reason}"
        culprits = _culprits(make, args, kwargs, list(written)) if patient else []
        if not culprits and len(written) == 1 and _is_needed(kind, *written):
            culprits = list(written)
        if len(culprits) == 1:
            name = culprits[0]
            return f"{self.given.origin.where(f'{key}.{name}')}{key}.{name} is {as_word(written[name])}: {reason}"
        simple = [
            f"{name}={as_word(written[name])}" for name in culprits or written if not isinstance(written[name], dict)
        ]
        given = f" with {', '.join(simple)}" if simple else ""
        return f"{self.given.origin.where(key)}{key}: {short_name(kind.__name__)} cannot be built{given}: {reason}"


def _is_needed(kind: Any, name: str) -> bool:
    parameter = parameters_of(f"{kind.__module__}.{kind.__qualname__}").get(name)
    return parameter is not None and parameter.default is parameter.empty


def _culprits(make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], written: list[str]) -> list[str]:
    """The arguments without any one of which the object can be built."""
    found: list[str] = []
    end = time.monotonic() + _PATIENCE
    for name in written:
        if time.monotonic() > end:
            break
        with contextlib.suppress(Exception):  # it is refused for another one, or needs this one
            make(*args, **{other: value for other, value in kwargs.items() if other != name})
            found.append(name)
    return found


def show_one_image(net: nn.Module, channels: int, size: Any, classes: int | None = None) -> None:
    """Run a net on one black image, so that what it cannot compute is known before anything is written.

    Raises:
        UserError: it gives another number of logits than there are classes.
    """
    was_training = net.training
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = net.eval()(torch.zeros(1, channels, height, width))
    net.train(was_training)
    if torch.is_tensor(logits) and classes is not None and logits.shape != (1, classes):
        raise UserError(
            f"the net maps an image to {tuple(logits.shape)}, and the data has {classes} classes: "
            f"end it with {classes} logits, (B, num_classes)"
        )


def is_refusal(error: Exception) -> bool:
    """Whether an error of a constructor is about a value, and not a bug in somebody's own code."""
    if isinstance(error, (ValueError, MemoryError)):
        return True
    if isinstance(error, NameError):
        return False
    return not passes_own_code(error)


def passes_own_code(error: BaseException) -> bool:
    """Whether an error was raised in, or below, code that is neither cnnkit's nor a library's."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(is_own_code(Path(file)) for file in files if not file.startswith("<"))


def is_own_code(file: Path) -> bool:
    """Whether a file is neither cnnkit's nor a library's."""
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
