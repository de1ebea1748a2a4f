"""A configuration of plain values: what a class has for a default that no YAML can hold is left to the class."""

import enum
import inspect
from typing import Any

from jsonargparse import Namespace

from cnnkit.cli.parsing.classes import parameters_of

_MARK = "Unable to serialize instance "


def leave_out_objects(config: Any) -> None:
    """Remove, in place, objects that a class has as defaults; enumerations that are strings become those strings.

    jsonargparse fills in every default. It cannot write `Timer`'s ``Interval.step`` at all, and writes a device or a
    function of no module as a text that says so, which a resume would then read as the value.

    Args:
        config: a parsed configuration, or a part of one.
    """
    if isinstance(config, list):
        for part in config:
            leave_out_objects(part)
    if not isinstance(config, Namespace):
        return
    parts = vars(config)
    arguments = parts.get("init_args")
    if "class_path" in parts and isinstance(arguments, Namespace):
        known = parameters_of(str(parts["class_path"]))
        for name, value in list(vars(arguments).items()):
            if isinstance(value, enum.Enum) and isinstance(value, str):
                arguments[name] = str(value.value)
            elif name in known and not _is_plain(value) and value is known[name].default is not inspect.Parameter.empty:
                arguments.pop(name)
    for part in list(parts.values()):
        leave_out_objects(part)


def unmark(text: str) -> str:
    """Bring back the strings of a dumped configuration that jsonargparse took for objects.

    It does so where a function may be given by name, such as ``l1_unstructured`` of `ModelPruning`.

    Args:
        text: a configuration in YAML, whose objects were left out before it was dumped.
    """
    return text.replace(_MARK, "")


def _is_plain(value: Any) -> bool:
    plain = (bool, int, float, str, list, tuple, dict, Namespace)
    return value is None or isinstance(value, plain) or callable(value)
