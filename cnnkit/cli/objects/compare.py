"""Refuses an object that the run could not build again: its description would build something else."""

from typing import Any

import torch
from torch import nn

from cnnkit.cli.objects.describe import describe, list_unkept
from cnnkit.cli.objects.verify import (
    compare_attributes,
    find_changed_setting,
    find_difference,
    gives_same_outputs,
)
from cnnkit.cli.parsing.classes import list_arguments
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.config_files.scalars import as_word
from cnnkit.errors import UserError
from cnnkit.sizes import as_height_width

_CHANGED = "what is changed after it was made is lost: do it in the constructor of a class of your own"
_SHAPE = ("mean", "std", "image_size", "in_channels", "num_classes")


def compare_tasks(given: Any, made: Any, data: Any) -> None:
    """Compare two tasks: their nets, their settings, and their other modules.

    Raises:
        UserError: they differ.
    """
    net, other = getattr(given, "net", None), getattr(made, "net", None)
    if isinstance(net, nn.Module) and isinstance(other, nn.Module):
        compare_nets(net, other, data, "task.net")
    if difference := find_difference(given, made):
        raise UserError(f"task: {_describe_other(given, difference, data)}")
    _compare_arguments(given, made, [name for name in list_arguments(type(given)) if name != "net"], "task")


def compare_nets(given: nn.Module, made: nn.Module, data: Any, key: str) -> None:
    """Compare two nets: their structure, their settings, and what they compute with the same weights.

    Raises:
        UserError: they differ.
    """
    if difference := find_difference(given, made):
        raise UserError(f"{key}: {_describe_other(given, difference, data)}")
    if changed := find_changed_setting(given, made):
        raise UserError(f"{key}: the run would build another one: {changed}; {_CHANGED}")
    if not hasattr(data, "image_size"):
        return
    before = {name: value.clone() if torch.is_tensor(value) else value for name, value in made.state_dict().items()}
    made.load_state_dict(given.state_dict())
    try:
        same = gives_same_outputs(given, made, data.in_channels, as_height_width(data.image_size))
        if late := [name for name in made.state_dict() if name not in before]:
            raise UserError(
                f"{key}: {type(made).__name__} makes {late[0]} in its forward, where no checkpoint can find "
                "it: make it in the constructor"
            )
    finally:
        for name in [name for name in made.state_dict() if name not in before]:
            before[name] = made.state_dict()[name]
        made.load_state_dict(before)
    if not same:
        raise UserError(f"{key}: {_describe_other(given, 'with the same weights it would compute other logits', data)}")


def compare_data(given: Any, made: Any) -> None:
    """Compare the settings of two data modules, both set up if the given one is.

    Raises:
        UserError: they differ.
    """
    if getattr(given, "store", None) is not None:
        made.setup()
    _compare_arguments(given, made, [*list_arguments(type(given)), *_SHAPE], "data")
    if repr(getattr(given, "augmentation", None)) != repr(getattr(made, "augmentation", None)):
        raise UserError("data.augmentation was changed after the data was made; give augment=[...] to its constructor")


def compare_plain_objects(given: Any, made: Any, key: str) -> None:
    """Compare an object that is no module, such as a callback.

    Raises:
        UserError: they differ.
    """
    if difference := compare_attributes(given, made):
        name = type(given).__name__
        unkept = list_unkept(given)
        remedy = f"write {_write(unkept)} in its constructor" if unkept else f"give a new {name}, as it was made"
        raise UserError(f"{key}: the run would build another {name}: {difference}; {remedy}")


def _compare_arguments(given: Any, made: Any, names: list[str], key: str) -> None:
    for name in names:
        if hasattr(given, name) and hasattr(made, name):
            ours, theirs = (_describe_or_none(getattr(one, name), name) for one in (given, made))
            if not _agree(ours, theirs):
                raise UserError(
                    f"{key}.{name} is {as_word(ours)}, but the {key} was made with {as_word(theirs)}: "
                    "give it to its constructor"
                )


def _agree(ours: Any, theirs: Any) -> bool:
    """Whether two descriptions are equal; the second may spell out defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() <= theirs.keys() and all(_agree(part, theirs[name]) for name, part in ours.items())
    if isinstance(ours, str) and isinstance(theirs, dict):
        return bool(ours == theirs.get("class_path"))
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_agree, ours, theirs))
    return bool(ours == theirs)


def _describe_or_none(value: Any, name: str) -> Any:
    try:
        return describe(value, name)
    except UserError:
        return None


def _describe_other(given: nn.Module, difference: str, data: Any) -> str:
    unkept = list_unkept(given)
    own = [name for name in unkept if name not in LINKED]
    remedy = _CHANGED
    if own:
        remedy = f"{type(given).__name__} does not keep all its arguments: write {_write(own)} in its constructor"
    elif unkept:  # these come from the data
        shape = ", ".join(f"{name} {getattr(data, name)}" for name in unkept if hasattr(data, name))
        remedy = f"was it made for these data ({shape}), and not changed since?"
    return f"the run would build another one: {difference}; {remedy}"


def _write(names: list[str]) -> str:
    return " and ".join(f"self.{name} = {name}" for name in names[:2])
