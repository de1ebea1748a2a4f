"""Refuses values that jsonargparse takes, and that would fail far away or contradict each other."""

import inspect
import math
from typing import Any

from jsonargparse import Namespace

from cnnkit.cli.fit.trainer_values import check_trainer
from cnnkit.cli.parsing.classes import list_parameters
from cnnkit.cli.parsing.parser import LINKED
from cnnkit.errors import UserError
from cnnkit.scalars import as_word, plain


def check_values(values: Namespace) -> None:
    """Refuse what no object can be built from.

    Raises:
        UserError: naming the key and its value.
    """
    refuse_seed(values.seed_everything)
    for part in ("trainer", "model", "data"):
        refuse_voids(values[part], part)
    check_trainer(vars(values.trainer))


def refuse_voids(value: Any, key: str = "") -> None:
    """Refuse null and infinity where they mean nothing; jsonargparse lets them pass, to fail far away.

    Raises:
        UserError: for a null given to an argument that has another default and is not said to take None; for an
            infinite number given to a class of cnnkit or torch whose own default is a finite one.
    """
    if isinstance(value, list):
        for part in value:
            refuse_voids(part, key)
    if not isinstance(value, (dict, Namespace)):
        return
    parts = dict(vars(value) if isinstance(value, Namespace) else value)
    known = list_parameters(str(parts["class_path"])) if "class_path" in parts else {}
    arguments = parts.get("init_args") if "class_path" in parts else parts
    for name, part in (dict(vars(arguments)) if isinstance(arguments, Namespace) else arguments or {}).items():
        dotted = f"{key}.{name}" if key else name
        of_class = known.get(name)
        if part is None and of_class is not None and _means_nothing(of_class):
            default = getattr(of_class.default, "__name__", repr(of_class.default))
            raise UserError(f"{dotted} is null; leave it out for {default}, or give another value")
        finite = of_class is not None and type(of_class.default) in (int, float) and math.isfinite(of_class.default)
        if isinstance(part, float) and not math.isfinite(part) and finite and _is_ours(parts):
            raise UserError(f"{dotted} is {part}: give a finite number")
        refuse_voids(part, dotted)


def _is_ours(parts: dict[str, Any]) -> bool:
    return str(parts.get("class_path", "cnnkit")).partition(".")[0] in ("cnnkit", "torch")


def _means_nothing(argument: inspect.Parameter) -> bool:
    """Whether null is no value that the argument's type allows."""
    optional = "None" in str(argument.annotation) or "Optional" in str(argument.annotation)
    return not optional and argument.default not in (None, inspect.Parameter.empty)


def refuse_seed(seed: Any) -> None:
    """Refuse what NumPy takes for no seed.

    Raises:
        UserError: naming the key and the range.
    """
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise UserError(f"seed_everything is {as_word(seed)}: give a whole number from 0 to {2**32 - 1}")


def refuse_contradictions(asked: dict[str, Any], datamodule: Any) -> None:
    """The data's shape overrides what was asked of the net; say so instead of doing something else than asked.

    Args:
        asked: the net's arguments that somebody wrote down.
        datamodule: where their values come from.

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
