"""What jsonargparse and Lightning's CLI lack for nets and schedules that learn their sizes from data and trainer."""

import contextlib
import inspect
import math
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any, get_args

from jsonargparse import Namespace, _typehints, set_dumper
from lightning.pytorch.cli import LightningArgumentParser, _InstantiatorFn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnnkit.cli.parsing.arguments import LINKED
from cnnkit.cli.parsing.classes import parameters_of, resolve_class
from cnnkit.cli.parsing.configuration import Configuration, class_paths
from cnnkit.cli.parsing.construction import Construction, passes_own_code
from cnnkit.cli.parsing.hints import class_names
from cnnkit.cli.parsing.types import scalars_by_type
from cnnkit.errors import UserError
from cnnkit.optim import ScheduleFactory, find_length_default, has_parts
from cnnkit.scalars import as_word, plain
from cnnkit.suggest import suggest
from cnnkit.yaml_files import dump_yaml

LISTS = ("trainer.callbacks", "data.augment")  # keys that take lists of objects

TIMM = {Optimizer: "timm.optim", LRScheduler: "timm.scheduler"}


class Parser(LightningArgumentParser):
    """Leaves open what only the trainer can know, a schedule's length; takes functions that return a net."""

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """As jsonargparse; where a schedule wants its length, 0 is the default: the task puts the run's there.

        Schedules made of others take them unbuilt, as the task takes its one schedule.
        """
        if has_parts(args[0]):
            kwargs["skip"] = {"optimizer", "schedulers"}
            self.add_argument("--schedulers", type=list[ScheduleFactory], required=True)
        added: list[str] = super().add_class_arguments(*args, **kwargs)
        self.set_defaults(find_length_default(args[0]))
        return added

    def add_function_arguments(self, *args: Any, linked_targets: Any = None, **kwargs: Any) -> list[str]:
        """As jsonargparse, which passes on ``linked_targets`` for a function but takes it for classes alone."""
        added: list[str] = super().add_function_arguments(*args, **kwargs)
        self.set_defaults(find_length_default(args[0]))
        return added


class ModelInstantiator(_InstantiatorFn):
    """Lightning's, made to work with nets that take only some of the linked arguments."""

    def __call__(self, class_type: type, *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any) -> Any:
        """Build the model; its hyperparameters hold those links alone that found an argument."""
        self.cli._dump_config()
        net = self.cli.config_dump[self.key].get("init_args", {}).get("net") or {}
        known = parameters_of(net.get("class_path", ""))
        net.setdefault("init_args", {})
        links = {k: v for k, v in applied_instantiation_links.items() if k.rsplit(".", 1)[-1] in known}
        make = partial(super().__call__, class_type, applied_instantiation_links=links)
        construction: Construction = vars(self.cli)["construction"]
        return construction.build(make, class_type, args, kwargs)


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
    known = parameters_of(str(parts["class_path"])) if "class_path" in parts else {}
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


def refuse_unknown_classes(given: Configuration, error: str) -> None:
    """Say which name in a list is that of no class; jsonargparse only says that the list is not right.

    Args:
        given: what was given.
        error: its error, which has the name in it.

    Raises:
        UserError: naming the key, the name and the closest class.
    """
    for key in LISTS:
        for name in class_paths(given.get(key)):
            if "." not in name and name in error and resolve_class(name) is None:
                names = class_names(key.rpartition(".")[2])
                where = given.origin.where(key)
                raise UserError(f"{where}{key}: there is no class {name!r} for it{suggest(name, names)}")


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


@contextlib.contextmanager
def wrong_values_are_user_errors(when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn a `ValueError` of Lightning or torch.optim into a `UserError`: before the first step it is about a value.

    One that somebody's own code raises, or that comes up within it, is a bug and stays what it is.
    """
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        if not when() or "Does not validate against" in str(error) or "You selected an invalid" in str(error):
            raise  # there is a better message for these
        *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
        module = str(innermost.f_globals.get("__name__", ""))
        if passes_own_code(error) or not module.startswith(("lightning.", "torch.optim.")):
            raise
        raise UserError(f"{error}\n--debug shows where it was raised") from error


@contextlib.contextmanager
def own_conventions() -> Iterator[None]:
    """Three things that jsonargparse has no setting for, while a command runs.

    A short class name means cnnkit's class, else torch's, where others have one of the same name; jsonargparse refuses
    a name that stands twice. Optimizers and schedules that are neither's are looked for in timm, whose import takes
    seconds. Where a class takes the place of a default one, nothing of that one stays: what somebody gave is merged
    before, by `cnnkit.cli.parsing.configuration`. And a word is what its key's type wants.
    """
    replaced = "get_all_subclass_paths", "discard_init_args_on_class_path_change", "resolve_class_path_by_name"
    originals = tuple(getattr(_typehints, name) for name in replaced)

    def ours_first(*args: Any, **kwargs: Any) -> list[str]:
        paths: list[str] = originals[0](*args, **kwargs)
        for preferred in ("cnnkit.", "torch."):
            names = {path.rsplit(".", 1)[-1] for path in paths if path.startswith(preferred)}
            paths = [p for p in paths if p.startswith(preferred) or p.rsplit(".", 1)[-1] not in names]
        return paths

    def timm_last(kind: Any, name: str) -> str:
        path: str = originals[2](kind, name)
        kinds = kind if isinstance(kind, tuple) else get_args(kind) or (kind,)
        homes = [home for base, home in TIMM.items() if base in kinds] if "." not in path else []
        return next((f"{home}.{name}" for home in homes if hasattr(import_module(home), name)), path)

    def drop_defaults(parser_or_action: Any, before: Any, after: Any) -> None:
        if before and "init_args" in before and before["class_path"] != after["class_path"]:
            before["init_args"] = type(before["init_args"])()

    set_dumper("yaml", dump_yaml)  # of a part it dumps and reads again, where a name like 1e3 would become a number
    for name, ours in zip(replaced, (ours_first, drop_defaults, timm_last), strict=True):
        setattr(_typehints, name, ours)
    try:
        with scalars_by_type():
            yield
    finally:
        for name, theirs in zip(replaced, originals, strict=True):
            setattr(_typehints, name, theirs)
