"""Objects that `cnnkit.fit` got in place of keys: they become part of the configuration, and their weights are trained.

A run builds its objects from its configuration, as every later command does. So what it builds is compared with what
was given, then gets its weights, and after the training the given object gets the trained ones.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

import lightning as L
import torch
from torch import nn

from cnnkit.cli.objects.compare import compare_data, compare_nets, compare_plain_objects, compare_tasks
from cnnkit.cli.objects.describe import describe
from cnnkit.cli.parsing.classes import shorten_path
from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.config_files.scalars import as_word
from cnnkit.errors import UserError
from cnnkit.notices import say

_KINDS: dict[str, tuple[type, str]] = {
    "model": (L.LightningModule, "a task, such as ClassificationTask(net)"),
    "model.net": (nn.Module, "a net, such as LeNet5(1, 10, 28)"),
    "data": (L.LightningDataModule, "a data module, such as cnnkit.MNIST() or cnnkit.from_arrays(images, labels)"),
}


class Given:
    """The values of `cnnkit.fit` by key, with the objects among them.

    Args:
        values: by key: plain values, classes, partials and objects.

    Raises:
        UserError: an object cannot be described, or a key is about an object that is given whole.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.objects = {key: value for key, value in values.items() if _is_object(value)}
        for key, value in self.objects.items():
            _check_kind(key, value)
            if below := next((other for other in values if other.startswith(f"{key}.")), None):
                raise UserError(f"{below}: the object that is given for {_name(key)} decides on it; set it there")
        for key, value in values.items():
            whole = key in _KINDS and key in self.objects
            if not whole and any(map(_has_weights, _list_leaves(value))):
                raise UserError(f"{key}: holds a net, whose weights would be lost; give it as task, or as model.net")
        described = {key: describe(value, _name(key)) for key, value in values.items()}
        self.words = [f"--{key}={as_word(value)}" for key, value in described.items()]
        self.facts: dict[str, Any] = {}  # for the manifest
        self._trained: tuple[nn.Module, nn.Module] | None = None  # the given module, and the run's own
        if own := sorted(set(_list_main(described))):
            say(
                f"{', '.join(own)}: defined in this notebook or script, so `run` works here, but commands cannot build "
                "it; put it into a file and import it from there"
            )

    @property
    def has_weights(self) -> bool:
        """Whether the net was given."""
        return any(isinstance(self.objects.get(key), nn.Module) for key in ("model", "model.net"))

    def replace_in(self, line: CommandLine) -> None:
        """Remove what files say about keys that are given as objects: of these, nothing is merged."""
        for key in self.objects:
            line.files = [file._replace(values=_drop(file.values, key.split("."))) for file in line.files]

    def adopt(self, objects: Any) -> None:
        """Compare what the configuration has built with what was given, and give it the weights of the given net.

        Args:
            objects: ``model``, ``data`` and ``trainer``; the trainer gets the given callbacks and loggers themselves.

        Raises:
            UserError: they differ, so later commands would build something else.
        """
        for key, value in self.values.items():
            argument = key.removeprefix("trainer.").removesuffix("+")
            if key.startswith("trainer.") and any(map(_is_object, _list_leaves(value))):
                objects.trainer[argument] = _use_given(value, objects.trainer[argument], key)
        task, net, data = (self.objects.get(key) for key in _KINDS)
        if data is not None and data is not objects.data:
            compare_data(data, objects.data)
        if task is not None:
            compare_tasks(task, objects.model, objects.data)
            self._give_weights(task, objects.model)
        elif isinstance(net, nn.Module):
            compare_nets(net, objects.model.net, objects.data, "model.net")
            self._give_weights(net, objects.model.net)

    def hand_back(self) -> None:
        """Give the trained weights to the given object."""
        if self._trained is not None:
            given, made = self._trained
            try:
                given.load_state_dict(made.state_dict())
            except RuntimeError:  # a callback has changed the layers
                say("the given object keeps its weights, because the training has changed the layers of the run's net")

    def _give_weights(self, given: nn.Module, made: nn.Module) -> None:
        self._trained = given, made
        before, weights = made.state_dict(), given.state_dict()
        if all(torch.equal(value, weights[name].cpu()) for name, value in before.items() if torch.is_tensor(value)):
            return
        made.load_state_dict(weights)
        content = sha256()
        for value in filter(torch.is_tensor, weights.values()):
            content.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        self.facts = {"initial_weights": {"of": "the given object", "sha256": content.hexdigest()}}


def _use_given(value: Any, made: Any, key: str) -> Any:
    """Return what the configuration has built, with the given objects in their places, if they are equal to it."""
    if not isinstance(value, (list, tuple)):
        compare_plain_objects(value, made, key)
        return value
    built = list(made) if isinstance(made, (list, tuple)) else [made]
    own = built[len(built) - len(value) :]  # those before, of a file, where the key ends with +
    for one, other in zip(value, own, strict=True):
        if _is_object(one):
            compare_plain_objects(one, other, key)
    kept = [one if _is_object(one) else other for one, other in zip(value, own, strict=True)]
    return [*built[: len(built) - len(value)], *kept]


def _name(key: str) -> str:
    return "task" if key == "model" else key


def _check_kind(key: str, value: Any) -> None:
    if key not in _KINDS or isinstance(value, _KINDS[key][0]):
        return
    if key == "model.net" and isinstance(value, partial):
        return
    raise UserError(f"{_name(key)} is a {type(value).__name__}: give {_KINDS[key][1]}")


def _is_object(value: Any) -> bool:
    """Whether a value has to be described: it is neither plain, nor a list or mapping, nor a class, nor a path."""
    if isinstance(value, (type, list, tuple, dict, set)) or hasattr(value, "__fspath__"):
        return False
    return hasattr(value, "__dict__")


def _has_weights(value: Any) -> bool:
    return isinstance(value, nn.Module) and next(value.parameters(), None) is not None


def _list_leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        for part in value:
            yield from _list_leaves(part)
    else:
        yield value


def _list_main(value: Any) -> list[str]:
    """List the classes in plain values that no other process can import."""
    paths = [leaf for leaf in _list_leaves(value) if isinstance(leaf, str) and leaf.startswith("__main__.")]
    return [shorten_path(path) for path in paths]


def _drop(values: Any, parts: list[str]) -> Any:
    """Return the values of a file without a key, however it is nested."""
    if not isinstance(values, Mapping):
        return values
    kept: dict[Any, Any] = {}
    for name, value in values.items():
        path = [part for part in str(name).removesuffix("+").split(".") if part not in ("init_args", "class_path")]
        if path[: len(parts)] == parts:
            continue
        kept[name] = _drop(value, parts[len(path) :]) if path == parts[: len(path)] else value
    return kept
