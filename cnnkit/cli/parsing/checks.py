"""Refuses values that jsonargparse takes, and that would fail far away or contradict each other."""

import inspect
import math
import re
from typing import Any

from jsonargparse import Namespace

from cnnkit.cli.fit.trainer_values import check_trainer
from cnnkit.cli.parsing.classes import list_parameters
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.cli.parsing.written import arguments_in, find_classes
from cnnkit.errors import UserError
from cnnkit.scalars import as_word, plain


def check_values(values: Namespace, config: dict[str, Any]) -> None:
    """Refuse values of a configuration that no object can be built from; `config` holds them as plain values.

    Raises:
        UserError: naming the key and its value.
    """
    seed = values.seed_everything
    if type(seed) is not int or not 0 <= seed < 2**32:  # NumPy takes no other
        raise UserError(f"seed_everything is {as_word(seed)}: give a whole number from 0 to {2**32 - 1}")
    refuse_empty_values({part: config[part] for part in ("trainer", "model", "data")})
    check_trainer(vars(values.trainer))


def refuse_empty_values(config: dict[str, Any]) -> None:
    """Refuse null and infinity where they mean nothing; jsonargparse lets them pass, to fail far away.

    Raises:
        UserError: for a null of an argument that has another default and whose type does not allow None; for an
            infinite argument of a class of cnnkit or torch whose own default is finite.
    """
    for key, node in find_classes(config):
        known = list_parameters(node["class_path"])
        ours = node["class_path"].partition(".")[0] in ("cnnkit", "torch")
        for name, value in arguments_in(node).items():
            default: Any = known[name].default if name in known else None
            optional = default is None or re.search("None|Optional", str(known[name].annotation))
            if value is None and not optional and default is not inspect.Parameter.empty:
                default = getattr(default, "__name__", repr(default))
                raise UserError(f"{key}.{name} is null; leave it out for {default}, or give another value")
            finite = type(default) in (int, float) and math.isfinite(float(default))
            if isinstance(value, float) and not math.isfinite(value) and finite and ours:
                raise UserError(f"{key}.{name} is {value}: give a finite number")


def refuse_contradictions(arguments: dict[str, Any], data: Any) -> None:
    """Refuse written arguments of the net that differ from the data's shape, which would override them.

    Raises:
        UserError: if an argument contradicts the data.
    """
    for name, value in plain({name: value for name, value in arguments.items() if name in LINKED}).items():
        present = getattr(data, LINKED[name], value)
        present = list(present) if isinstance(present, tuple) else present
        if value not in (present, [present, present]):
            raise UserError(
                f"model.net.{name} is {value}, but the images of {type(data).__name__} have {present}; "
                "leave it out: the data says it"
            )
