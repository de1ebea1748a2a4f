"""Builds the parser of a command with jsonargparse: its keys, their types and defaults, and what the data sets."""

from copy import deepcopy
from inspect import Parameter
from typing import Any

import lightning as L
from jsonargparse import ArgumentParser

from cnnkit.cli.parsing.classes import Argument, list_arguments
from cnnkit.dashboards import Watch
from cnnkit.metric_names import MONITOR, Mode
from cnnkit.optim import ScheduleFactory, find_length_default, has_parts
from cnnkit.upstream import read_integers_first

# What the data says to the net: the net's argument and the data module's attribute. A net may take only some of them.
LINKED = {
    "in_channels": "in_channels",
    "num_classes": "num_classes",
    "image_size": "image_size",
    "image_mean": "mean",
    "image_std": "std",
}
PASSED: set[str | int] = {"model", "datamodule", "dataloaders", "train_dataloaders", "val_dataloaders"}  # by us
TRAINER_DEFAULTS = {
    "trainer.max_epochs": 10,
    "trainer.num_sanity_val_steps": 0,
    "trainer.enable_model_summary": False,
}
GROUPS: dict[str, type] = {"trainer": L.Trainer, "watch": Watch}  # keys that are the arguments of one class
OWN: dict[str, tuple[Any, Any, str]] = {  # key -> type, default, help
    "name": (str | None, None, "Folder of the run below the root of runs."),
    "weights": (str | None, None, "Weights that the whole net starts with."),
    "monitor": (str, MONITOR, "What the best checkpoint is chosen by."),
    "mode": (Mode, "auto", "Which values of it are better; auto: by the metric's name."),
    "watch": (Watch | None, Watch(), "The dashboards."),
}


class Parser(ArgumentParser):
    """Leaves open what only the trainer can know, a schedule's length; takes functions that return a net."""

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add them as jsonargparse does; the length of a schedule gets the default 0, which the task replaces.

        Schedules made of others take them unbuilt, as the task takes its one schedule.
        """
        if has_parts(args[0]):
            kwargs["skip"] = {"optimizer", "schedulers"}
            self.add_argument("--schedulers", type=list[ScheduleFactory], required=True)
        added: list[str] = super().add_class_arguments(*args, **kwargs)
        self.set_defaults(find_length_default(args[0]))
        return added

    def add_function_arguments(self, *args: Any, linked_targets: Any = None, **kwargs: Any) -> list[str]:
        """Add them as jsonargparse does, without ``linked_targets``, which it passes on but takes for classes alone."""
        added: list[str] = super().add_function_arguments(*args, **kwargs)
        self.set_defaults(find_length_default(args[0]))
        return added


def build_parser(command: str) -> Parser:
    """Return the parser of ``fit``, ``validate``, ``test`` or ``predict``."""
    read_integers_first()
    parser = Parser(exit_on_error=False, allow_abbrev=False, description=f"The keys of cnnkit {command}.")
    parser.add_argument("--seed_everything", type=bool | int, default=0, help="The seed.")
    parser.add_class_arguments(L.Trainer, "trainer", fail_untyped=False, instantiate=False, sub_configs=True)
    parser.set_defaults(TRAINER_DEFAULTS)
    parser.add_subclass_arguments(L.LightningModule, "model", fail_untyped=False, required=True)
    parser.add_subclass_arguments(L.LightningDataModule, "data", fail_untyped=False, required=True)
    for key, (kind, default, text) in OWN.items():
        parser.add_argument(f"--{key}", type=kind, default=deepcopy(default), help=text)
    for net_argument, attribute in LINKED.items():
        parser.link_arguments(
            f"data.{attribute}", f"model.init_args.net.init_args.{net_argument}", apply_on="instantiate"
        )
    parser.add_method_arguments(L.Trainer, command, skip=PASSED)
    return parser


def list_command_arguments(command: str) -> dict[str, Argument]:
    """List the keys at the top of a command's configuration, with their types."""
    types: dict[str, Any] = {"seed_everything": bool | int, "trainer": L.Trainer, "model": L.LightningModule}
    types |= {"data": L.LightningDataModule, **{key: kind for key, (kind, _, _) in OWN.items()}}
    own = {name: Argument(None, Parameter(name, Parameter.KEYWORD_ONLY, default=None), t) for name, t in types.items()}
    passed_on = list_arguments(getattr(L.Trainer, command))
    return {**own, **{name: argument for name, argument in passed_on.items() if name not in (*PASSED, "self")}}
