"""Builds task and data module of a configuration, without a trainer and without a run folder."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L
from jsonargparse import Namespace

from cnnkit.cli.errors.messages import describe_error
from cnnkit.cli.parsing.command_line import read_command_line
from cnnkit.cli.parsing.configuration import load_configuration
from cnnkit.cli.parsing.construction import build_objects
from cnnkit.cli.quiet import quieten
from cnnkit.data.folders.run_split import follow_split
from cnnkit.errors import UserError
from cnnkit.weights import skip_pretrained


class Built(NamedTuple):
    """What a configuration describes.

    Attributes:
        task: the task.
        data: the data module, not set up.
        config: all values with their defaults.
        trainer: the arguments of the trainer, its callbacks and other objects built.
    """

    task: Any
    data: L.LightningDataModule
    config: dict[str, Any]
    trainer: Namespace


def build_from_config(words: Sequence[str], *, pretrained: bool = False) -> Built:
    """Build the task and the data module of a configuration, as `fit` would.

    Args:
        words: as for `fit`: ``--config FILE``, ``--key value``.
        pretrained: fetch the weights that the configuration names; else such nets start from random ones.

    Raises:
        UserError: for a mistake in the words or files.
    """
    quieten()
    try:
        configuration = load_configuration(read_command_line("fit", [str(word) for word in words]))
        L.seed_everything(configuration.values.seed_everything, workers=True)
        with skip_pretrained(not pretrained):
            objects = build_objects(configuration)
    except UserError:
        raise
    except Exception as error:
        code, lines = describe_error(error)
        if code != 2:
            raise
        raise UserError("\n".join(lines).removeprefix("error: ")) from error
    return Built(objects.model, objects.data, configuration.as_dict(), objects.trainer)


def build_data(run: Any) -> L.LightningDataModule:
    """Build the data module that a run was trained with; of image files, it keeps to the run's parts."""
    with follow_split(run.split):
        return build_from_config(["--config", str(run.config)]).data
