"""Builds the objects of a configuration one by one, so that a value which a class refuses names its key.

To find the argument that a class refuses, it builds the object again without one argument at a time. It does not
search the text of the error, which can come from any library.
"""

import contextlib
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import torch
from jsonargparse import Namespace
from torch import nn

from cnnkit.cli.errors.exceptions import passes_own_code, shorten_error
from cnnkit.cli.parsing.classes import list_parameters, resolve_class, shorten_path
from cnnkit.cli.parsing.configuration import Configuration
from cnnkit.cli.parsing.typed import strip_marks
from cnnkit.cli.parsing.written import find_classes, list_class_paths, read_arguments
from cnnkit.config_files.scalars import as_word, plain
from cnnkit.errors import UserError
from cnnkit.layers.probing import evaluating
from cnnkit.upstream import private

_PATIENCE = 5.0  # seconds for building again


def build_objects(configuration: Configuration) -> Namespace:
    """Build data module, task and the trainer's objects, the data first, because the net takes its sizes from them.

    Returns:
        The configuration with objects in place of their descriptions: ``data``, ``model``, and ``trainer`` with the
        arguments of a trainer.

    Raises:
        UserError: a class refuses an argument.
    """
    construction = Construction(configuration)
    instantiators = [(construction.build_task, L.LightningModule, True), (construction, object, True)]
    try:
        built: Namespace = configuration.parser.instantiate(configuration.values, instantiators=instantiators)
    except ConstructionFailed as failed:
        raise failed.error from failed.error.__cause__
    except ValueError as error:  # a function has refused, not a class; jsonargparse tried the next type of a union
        raise _find_refusal(error) from error
    strip_marks(built)
    return built


def _find_refusal(error: BaseException) -> BaseException:
    """Return the `UserError` that is behind an error, else the error itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__
    return cause or error


class ConstructionFailed(BaseException):
    """Carries an error through jsonargparse, which would try the next type of a union and report on all of them."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Construction:
    """Builds the objects of a configuration as jsonargparse's instantiator; a fit shows every net one image."""

    def __init__(self, configuration: Configuration) -> None:
        self.written, self.config = configuration.written, configuration.as_dict()
        self.tries_nets = configuration.command == "fit"

    def __call__(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an object of a class, or call a function that does."""
        return self._build(partial(self._make, kind, *args), kind, strip_marks(kwargs))

    def build_task(self, kind: Any, *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any) -> Any:
        """Build the task; a checkpoint of it will say how to build it again, with what the data have set."""
        model = self.config["model"]
        values = {"_class_path": model["class_path"], **model.get("init_args", {}), **model.get("dict_kwargs", {})}
        if isinstance(net := values.get("net"), dict):
            known = list_parameters(net.get("class_path", ""))
            linked = {key.rpartition(".")[2]: value for key, value in applied_instantiation_links.items()}
            written = read_arguments(self.written.get("model.net"))  # a function may take more than its signature says
            linked = {name: value for name, value in linked.items() if name in known or name in written}
            values["net"] = {**net, "init_args": {**net.get("init_args", {}), **linked}}
        save = private("lightning.pytorch.core.mixins.hparams_mixin._given_hyperparameters_context")

        def make(**kwargs: Any) -> Any:
            with save(hparams=values, instantiator="lightning.pytorch.cli.instantiate_module"):
                return kind(*args, **kwargs)

        return self._build(make, kind, strip_marks(kwargs))

    def _make(self, kind: Any, *args: Any, **kwargs: Any) -> Any:
        made = kind(*args, **kwargs)
        if self.tries_nets and isinstance(made, nn.Module) and {"in_channels", "image_size"} <= kwargs.keys():
            show_one_image(made, kwargs["in_channels"], kwargs["image_size"], kwargs.get("num_classes"))
        return made

    def _build(self, make: Callable[..., Any], kind: Any, kwargs: dict[str, Any]) -> Any:
        """Call `make`, which returns an object of a class.

        Raises:
            ConstructionFailed: with a `UserError` if the class refuses an argument, else with what was raised.
        """
        began = time.monotonic()
        try:
            return make(**kwargs)
        except Exception as error:
            key = self._find_key(kind, kwargs)
            if key is None or isinstance(error, torch.OutOfMemoryError) or not is_about_value(error):
                raise ConstructionFailed(error) from None
            is_quick = time.monotonic() - began < _PATIENCE / 2
            refusal = UserError(self._describe(error, kind, key, kwargs, make if is_quick else None))
            refusal.__cause__ = error
            raise ConstructionFailed(refusal) from None

    def _find_key(self, kind: Any, kwargs: dict[str, Any]) -> str | None:
        """Find the key of an object in the configuration, by its class and its arguments."""
        places = [(key, node) for key, node in find_classes(self.config) if resolve_class(node["class_path"]) is kind]
        fitting = [key for key, node in places if _agree(read_arguments(node), kwargs)]
        return next(iter([*fitting, *(key for key, _ in places)]), None)

    def _find_written(self, kind: Any, key: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Find the written arguments of an object; in a list, those that agree with its values."""
        there = self.written.get(key)
        listed = there if isinstance(there, list) else [there]
        nodes = [
            read_arguments(node)
            for node in listed
            if len(listed) == 1 or kind in map(resolve_class, list_class_paths(node))
        ]
        written = next((node for node in nodes if _agree(plain(node), kwargs)), nodes[-1] if nodes else {})
        return {name: value for name, value in written.items() if name in kwargs}

    def _describe(
        self, error: Exception, kind: Any, key: str, kwargs: dict[str, Any], make: Callable[..., Any] | None
    ) -> str:
        """Describe the refusal, with the refused argument if it is found; `make` is None if it takes too long."""
        locate, written = self.written.origin.locate, self._find_written(kind, key, kwargs)
        if isinstance(error, UserError):  # it names reason and remedy, so none of it is cut
            reason = " ".join(str(error).split())
            if any(isinstance(value, str) and value and reason.startswith(value) for value in written.values()):
                return reason  # it begins with the file or folder that it is about
            if (word := re.match(r"\w+", reason)) and word[0] in written:
                return locate(f"{key}.{word[0]}") + reason.removeprefix(word[0])
        else:
            reason = shorten_error(error)
            reason = reason if len(reason) <= 200 else f"{reason[:197]}..."
        culprits = _find_culprits(make, kwargs, list(written)) if make is not None else []
        if not culprits and len(written) == 1 and _is_needed(kind, *written):
            culprits = list(written)
        if len(culprits) == 1:
            return f"{locate(f'{key}.{culprits[0]}')} is {as_word(written[culprits[0]])}: {reason}"
        simple = [name for name in culprits or written if not isinstance(written[name], dict)]
        values = ", ".join(f"{name}={as_word(written[name])}" for name in simple)
        with_values = f" with {values}" if values else ""
        return f"{locate(key)}: {shorten_path(kind.__name__)} cannot be built{with_values}: {reason}"


def _is_needed(kind: Any, name: str) -> bool:
    parameter = list_parameters(f"{kind.__module__}.{kind.__qualname__}").get(name)
    return parameter is not None and parameter.default is parameter.empty


def _find_culprits(make: Callable[..., Any], kwargs: dict[str, Any], written: list[str]) -> list[str]:
    """Find the arguments without any one of which the object can be built."""
    found: list[str] = []
    end = time.monotonic() + _PATIENCE
    for name in written:
        if time.monotonic() > end:
            break
        with contextlib.suppress(Exception):  # it is refused for another one, or needs this one
            make(**{other: value for other, value in kwargs.items() if other != name})
            found.append(name)
    return found


def show_one_image(net: nn.Module, channels: int, size: Any, classes: int | None = None) -> None:
    """Run a net on one black image, so that what it cannot compute is known before anything is written.

    Raises:
        UserError: it gives another number of logits than there are classes.
    """
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    with evaluating(net), torch.no_grad(), torch.random.fork_rng(devices=[]):
        logits = net(torch.zeros(1, channels, height, width))
    if torch.is_tensor(logits) and classes is not None and logits.shape != (1, classes):
        raise UserError(
            f"the net maps an image to {tuple(logits.shape)}, and the data has {classes} classes: "
            f"end it with {classes} logits, (B, num_classes)"
        )


def is_about_value(error: Exception) -> bool:
    """Whether an error of a constructor is about a value, and not a bug in the user's own code."""
    if isinstance(error, (ValueError, MemoryError)):
        return True
    return not isinstance(error, NameError) and not passes_own_code(error)


def _agree(written: dict[str, Any], kwargs: dict[str, Any]) -> bool:
    simple = {n: v for n, v in kwargs.items() if v is None or isinstance(v, (bool, int, float, str))}
    return all(written.get(name, value) == value for name, value in simple.items())
