"""``cnnkit.fit``: the command from Python, with the same configuration, run folder and checks."""

import base64
import os
import time
import warnings
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from torch import nn

from cnnkit import runs
from cnnkit.callbacks import StopRequested
from cnnkit.cli.errors.messages import describe_error
from cnnkit.cli.fit.ranks import leave_no_ranks
from cnnkit.cli.fit.session import Session
from cnnkit.cli.objects.given import Given
from cnnkit.cli.parsing.command_line import read_command_line
from cnnkit.cli.quiet import keep_loggers, quieten
from cnnkit.data.tables.arrays import ArrayImages
from cnnkit.errors import UserError
from cnnkit.inference.predictor import Predictor, load
from cnnkit.notices import is_first_process, one_command
from cnnkit.runs import RunFolder
from cnnkit.runs.metrics import quantities, read_metrics
from cnnkit.threads import read_usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def fit(
    config: str | Path | None = None,
    *,
    task: L.LightningModule | None = None,
    data: L.LightningDataModule | None = None,
    name: str | None = None,
    resume: str | Path | None = None,
    **values: Any,
) -> "TrainedRun":
    """Train as ``cnnkit fit`` does, and return the run.

    The random state of Python, NumPy and torch is that of the seed afterwards, as after `lightning.seed_everything`.

    Args:
        config: a file, or the name of one of cnnkit's own configurations; by default all values are the defaults.
        task: what to train, in place of the configuration's ``model``. The training starts from the weights that it
            has; afterwards it has those of the last step.
        data: what to train on, in place of the configuration's ``data``.
        name: of the run.
        resume: a run to continue, in place of a configuration.
        **values: of keys of the configuration, as ``**{"trainer.max_epochs": 3, "model.net": LeNet5(1, 10, 28)}``.
            Objects can also be written as in a file: ``{"class_path": "LeNet5", "init_args": {}}``.

    Raises:
        UserError: what the command would refuse with exit code 2, and objects that no configuration can describe.
        KeyboardInterrupt: the run was interrupted; its last checkpoint is saved, and `resume` continues it.

    Example:
        >>> import cnnkit
        >>> run = cnnkit.fit("quickstart", **{"trainer.max_epochs": 3})  # doctest: +SKIP
        >>> run.predict("photos/")  # doctest: +SKIP
    """
    words = [] if config is None else [f"--config={config}"]
    words += [] if resume is None else [f"--resume={resume}"]
    if resume is not None and (task is not None or isinstance(values.get("model.net"), nn.Module)):
        raise UserError("a resume continues with the task and the weights of the run: leave out task and model.net")
    named = {"model": task, "data": data, "name": name}
    session = _execute("fit", words, {**values, **{key: value for key, value in named.items() if value is not None}})
    if session.run is None:
        raise UserError("trainer.fast_dev_run and trainer.barebones leave no run: use the command cnnkit fit for them")
    return TrainedRun(session.run, session.datamodule)


class TrainedRun:
    """A run that `fit` has made; a notebook shows its figures and curves.

    Args:
        folder: the run folder, or its path.
        data: what it was trained on; arrays in memory are kept for `test`.
    """

    def __init__(self, folder: RunFolder | str | Path, data: L.LightningDataModule | None = None) -> None:
        self._data = data if isinstance(data, ArrayImages) else None  # other data come from files again
        self._folder = folder if isinstance(folder, RunFolder) else runs.choose_finished(folder)
        self._predictor: Predictor | None = None

    @property
    def path(self) -> Path:
        """The run folder, which every command takes as ``--run``."""
        return self._folder.path

    @property
    def manifest(self) -> dict[str, Any]:
        """What was run, where, and with which result."""
        return self._folder.manifest()

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, each with what was logged at its step; `pandas.DataFrame` takes them."""
        return read_metrics(self._folder.metrics)

    @property
    def best(self) -> dict[str, float]:
        """The scores of the best checkpoint, and its epoch."""
        return dict(self.manifest.get("best") or {})

    def test(self, **values: Any) -> dict[str, float]:
        """Score the best checkpoint on the whole test set, as ``cnnkit test``, and return the scores.

        Args:
            **values: of keys of the configuration, such as ``**{"data.root": "photos"}``.
        """
        _execute("test", [f"--run={self.path}"], {"trainer.devices": 1, **values})
        return dict(self.manifest.get("test") or {})

    @property
    def predictor(self) -> Predictor:
        """The best checkpoint's net, ready for images; see `cnnkit.load`, which has more choices."""
        if self._predictor is None:
            self._predictor = load(self.path)
        return self._predictor

    @property
    def predict(self) -> Callable[..., Any]:
        """`Predictor.predict`."""
        return self.predictor.predict

    def figure(self) -> "Figure":
        """Draw loss and accuracy of training and validation."""
        from cnnkit.reporting.figures import curves_figure

        rows = self.metrics
        names = quantities(rows)
        return curves_figure(rows, [key for key in ("loss", "acc", "map") if key in names])

    def _list_facts(self) -> dict[str, str]:
        manifest = self.manifest
        net, data, times = manifest.get("net") or {}, manifest.get("data") or {}, manifest.get("times") or {}
        scores = {**self.best, **(manifest.get("test") or {})}
        facts = {"run": str(self.path), "net": f"{net.get('class')}, {net.get('parameters', 0):,} parameters"}
        facts |= {"data": str(data.get("name")), "status": str(manifest.get("status"))}
        facts |= {name: f"{value:.4g}" for name, value in scores.items() if isinstance(value, float)}
        return facts | ({"training": f"{times['train_seconds']:,.1f} s"} if "train_seconds" in times else {})

    def __repr__(self) -> str:
        facts = self._list_facts()
        return "\n".join(f"{name:<{max(map(len, facts))}}  {value}" for name, value in facts.items())

    def _repr_html_(self) -> str:
        from cnnkit.reporting.figures import png_bytes

        rows = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in self._list_facts().items())
        table = f"<table>{''.join(rows)}</table>"
        if not quantities(self.metrics):
            return table
        data = base64.b64encode(png_bytes(self.figure())).decode("ascii")
        return f'{table}<img width="690" alt="loss and accuracy by epoch" src="data:image/png;base64,{data}">'


def _execute(command: str, words: list[str], values: Mapping[str, Any]) -> Session:
    """Run a command in this process; what it refuses becomes a `UserError`, other errors stay what they are."""
    origin, before, cores_before = None, dict(os.environ), read_usage()
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        with one_command(), warnings.catch_warnings(), keep_loggers(), leave_no_ranks():
            quieten()
            given = Given(values)
            line = read_command_line(command, [*words, *given.words])
            given.replace_in(line)
            origin = line.origin
            session = Session(line, time.perf_counter(), cores_before=cores_before, given=given)
            session.execute()
        if "CNNKIT_RUN" in before and not is_first_process():
            raise SystemExit  # a rank of this fit, for which Lightning has started the script again
        return session
    except StopRequested:
        raise KeyboardInterrupt from None
    except Exception as error:
        code, lines = describe_error(error, origin)
        if code != 2:
            raise
        raise UserError("\n".join(lines).removeprefix("error: ")) from error
    finally:  # Lightning's seed and the run folder travel in environment variables
        os.environ.clear()
        os.environ.update(before)
        torch.use_deterministic_algorithms(strict[0], warn_only=strict[1])  # its trainer sets them for the process
        torch.backends.cudnn.benchmark = benchmark
