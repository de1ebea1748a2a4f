"""Runs one command in this process on a net and data that take a moment, and says how it ended.

A sweep over hundreds of settings cannot start a process for each. What a command changes for the whole process
(environment, signals, torch's switches, log levels, warning filters) is put back after each attempt.
"""

import contextlib
import csv
import io
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cnnkit.cli import main
from cnnkit.runs import RunFolder

# Two epochs of three steps and one batch of validation, every step logged, no dashboards.
TINY = (
    "--data.batch_size=32",
    "--data.eval_batch_size=100",
    "--model.net.channels=[4,8]",
    "--model.net.hidden_sizes=[16]",
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=3",
    "--trainer.limit_val_batches=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
    "--watch=null",
    "--name=sweep",
)


@dataclass
class Attempt:
    """How a command ended, and what it left behind.

    Args:
        words: the command line.
        code: the exit code.
        out: standard output.
        err: standard error, log messages included.
        warned: the texts of the warnings that a user would have seen.
        folder: where it ran.
        run: the run folder it made, if there is one.
    """

    words: Sequence[str]
    code: int
    out: str
    err: str
    folder: Path
    warned: list[str] = field(default_factory=list)
    run: RunFolder | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        """The run's manifest; empty where there is no run."""
        return self.run.manifest() if self.run is not None else {}

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return int(self.manifest.get("steps", 0))

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return int(self.manifest.get("epochs", 0))

    def logged(self, name: str) -> list[float]:
        """The values of one column of metrics.csv, in order, without the empty ones."""
        if self.run is None or not self.run.metrics.exists():
            return []
        with self.run.metrics.open(newline="", encoding="utf-8") as file:
            return [float(row[name]) for row in csv.DictReader(file) if row.get(name)]

    def files(self, pattern: str) -> list[str]:
        """Names of what the run folder holds, by a pattern such as ``checkpoints/*.ckpt``."""
        return sorted(path.name for path in self.run.path.glob(pattern)) if self.run is not None else []


def attempt(
    folder: Path, words: Sequence[str], *, command: str = "fit", tiny: Sequence[str] = TINY, limit: int = 90
) -> Attempt:
    """Run ``cnnkit COMMAND`` with the words of a tiny run and then these.

    Args:
        folder: an empty folder to run in; the run folder is made below it.
        words: what is tried; wins over the words of the tiny run.
        command: fit, validate, test or predict.
        tiny: the words before; ``()`` for commands that take none.
        limit: seconds after which it counts as never ending.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, err = io.StringIO(), io.StringIO()
    before = set(folder.glob("runs/*/*"))
    with restored(), contextlib.chdir(folder), warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        os.environ.setdefault("CNNKIT_PRECISION", "32-true")
        sys.path.insert(0, str(folder))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _logs_to(err):
            try:
                with _limited(limit):
                    code = main([command, *tiny, *words])
            except TookTooLong:
                code, _ = -1, err.write(f"error: did not end within {limit} s\n")
    made = sorted(path for path in set(folder.glob("runs/*/*")) - before if path.is_dir())
    texts = [str(w.message) for w in shown if "LeafSpec" not in str(w.message) and "Deprec" not in w.category.__name__]
    run = RunFolder(made[-1]) if made else None
    return Attempt([*tiny, *words], code, out.getvalue(), err.getvalue(), folder, texts, run)


class TookTooLong(BaseException):
    """No error that anything on the way would catch."""


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back, at the end, what a command changes for the whole process."""
    environment, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}
    dtype, threads, precision = torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    anomaly, deterministic = torch.is_anomaly_enabled(), torch.are_deterministic_algorithms_enabled()
    states = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if _is_local(name):  # a user's own module; another attempt may have one of the same name
                del sys.modules[name]
        for number, handler in signals.items():
            signal.signal(number, handler)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        torch.autograd.set_detect_anomaly(anomaly)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_rng_state(states[0])
        random.setstate(states[1])


def _is_local(name: str) -> bool:
    """Whether a module came from the folder that an attempt ran in."""
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and not name.startswith("cnnkit") and Path(file).parent.joinpath("runs").exists()


@contextlib.contextmanager
def _logs_to(stream: io.StringIO) -> Iterator[None]:
    """Lightning's loggers hold the standard error of the time of their import; let them write here."""
    found = [logging.getLogger(name) for name in ("", "lightning", "lightning.pytorch", "lightning.fabric")]
    handlers = {h for each in found for h in each.handlers if type(h) is logging.StreamHandler}
    before = {handler: handler.stream for handler in handlers}
    for handler in handlers:
        handler.setStream(stream)
    try:
        yield
    finally:
        for handler, old in before.items():
            handler.setStream(old)
