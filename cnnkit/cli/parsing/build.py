"""Objects from a configuration, without a trainer and without a run folder."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning as L

from cnnkit.cli.errors.messages import explain
from cnnkit.cli.fit.command import quieten
from cnnkit.cli.fit.session import Session
from cnnkit.cli.parsing.arguments import read_request
from cnnkit.cli.parsing.parser import own_conventions
from cnnkit.data.folders.run_split import follow_split
from cnnkit.errors import UserError


class _Objects(Session):
    """A session that ends when task and data module are built."""

    def _loads_weights(self) -> bool:
        return not self.pretrained

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """None."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing."""

    def __init__(self, words: Sequence[str], pretrained: bool) -> None:
        self.pretrained = pretrained
        super().__init__(read_request("fit", list(words)), began=0.0)


class Built(NamedTuple):
    """What a configuration comes to."""

    task: Any
    data: L.LightningDataModule
    config: dict[str, Any]


def build(words: Sequence[str], *, pretrained: bool = False) -> Built:
    """The task and the data module of a configuration, as `fit` would build them.

    Args:
        words: as for `fit`: ``--config FILE``, ``--key value``.
        pretrained: fetch the weights that the configuration names; else such nets start from random ones.

    Returns:
        The task (a `ClassificationTask`, or what the configuration names) on the CPU, the data module, not set up, and
        the configuration with all defaults.

    Raises:
        UserError: for a mistake in the words or files.
    """
    quieten()
    files = [str(word) for word in words if str(word).endswith((".yaml", ".yml"))]
    try:
        with own_conventions():
            objects = _Objects(words, pretrained)
    except UserError:
        raise
    except Exception as error:
        code, lines = explain(error, files, words)
        if code != 2:
            raise
        raise UserError("\n".join(lines).removeprefix("error: ")) from error
    return Built(objects.model, objects.datamodule, objects.resolved())


def build_data(run: Any) -> L.LightningDataModule:
    """The data module that a run was trained with; of image files, it keeps to the run's parts.

    Args:
        run: its `RunFolder`.
    """
    with follow_split(run.split):
        return build(["--config", str(run.config)]).data
