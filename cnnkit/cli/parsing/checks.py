"""Refuses values that jsonargparse takes, and that would fail far away or contradict each other."""

import inspect
import math
from typing import Any

from jsonargparse import Namespace

from cnnkit.cli.fit.trainer_values import check_trainer
from cnnkit.cli.parsing.classes import list_parameters
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.cli.parsing.written import arguments_in, find_classes
from cnnkit.errors import UserError
from cnnkit.scalars import as_word, plain


def check_values(values: Namespace, config: dict[str, Any]) -> None:
    """Refuse what no object can be built from.

    Args:
        values: of the configuration.
        config: the same as plain values.

    Raises:
        UserError: naming the key and its value.
    """
    refuse_seed(values.seed_everything)
    for part in ("trainer", "model", "data"):
        refuse_empty_values(config[part], part)
    check_trainer(vars(values.trainer))


def refuse_empty_values(config: Any, above: str) -> None:
    """Refuse null and infinity where they mean nothing; jsonargparse lets them pass, to fail far away.

    Raises:
        UserError: for a null given to an argument that has another default and is not said to take None; for an
            infinite number given to a class of cnnkit or torch whose own default is a finite one.
    """
    for key, node in find_classes(config, above):
        known = list_parameters(node["class_path"])
        ours = node["class_path"].partition(".")[0] in ("cnnkit", "torch")
        for name, value in arguments_in(node).items():
            default: Any = known[name].default if name in known else None
            if value is None and default is not None and _means_nothing(known[name]):
                default = getattr(default, "__name__", repr(default))
                raise UserError(f"{key}.{name} is null; leave it out for {default}, or give another value")
            finite = type(default) in (int, float) and math.isfinite(float(default))
            if isinstance(value, float) and not math.isfinite(value) and finite and ours:
                raise UserError(f"{key}.{name} is {value}: give a finite number")


def _means_nothing(argument: inspect.Parameter) -> bool:
    """Whether null is no value that the argument's type allows."""
    optional = "None" in str(argument.annotation) or "Optional" in str(argument.annotation)
    return not optional and argument.default is not inspect.Parameter.empty


def refuse_seed(seed: Any) -> None:
    """Refuse what NumPy takes for no seed.

    Raises:
        UserError: naming the key and the range.
    """
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise UserError(f"seed_everything is {as_word(seed)}: give a whole number from 0 to {2**32 - 1}")


def refuse_contradictions(asked: dict[str, Any], datamodule: Any) -> None:
    """The data's shape overrides what was asked of the net; say so instead of doing something else than asked.

    Raises:
        UserError: if an argument contradicts the data.
    """
    for name, value in plain({name: value for name, value in asked.items() if name in LINKED}).items():
        of_data = getattr(datamodule, LINKED[name], value)
        of_data = list(of_data) if isinstance(of_data, tuple) else of_data
        if value not in (of_data, [of_data, of_data]):
            raise UserError(
                f"model.net.{name} is {value}, but the images of {type(datamodule).__name__} have {of_data}; "
                "leave it out: the data says it"
            )
