"""Builds the loggers and callbacks of a fit, and collects the facts that its manifest records."""

from collections.abc import Iterable, Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback, Checkpoint, LearningRateMonitor, ProgressBar

from cnnkit import callbacks, dashboards
from cnnkit.cli.fit.output import flat
from cnnkit.cli.fit.provenance import git_state, machine, versions
from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.loggers import MetricsCSV, TensorBoard
from cnnkit.metric_names import Mode
from cnnkit.runs import RunFolder
from cnnkit.runs.identity import code_version
from cnnkit.shell import quote_command


def build_loggers(run: RunFolder, asked: Any, resume_step: int | None) -> Any:
    """TensorBoard and metrics.csv, and a user's own after them; none at all for ``false``."""
    if asked is False:
        return False
    own = [] if asked in (None, True) else list(asked) if isinstance(asked, Iterable) else [asked]
    return [TensorBoard(run.path, resume_step), MetricsCSV(run.metrics, resume_step), *own]


def build_callbacks(
    run: RunFolder,
    trainer: Any,
    watch: dashboards.Watch | None,
    given: Sequence[Callback],
    facts: dict[str, Any],
    hparams: dict[str, Any],
    monitor: str | None,
    mode: Mode,
) -> list[Callback]:
    """The user's callbacks first, then ours; one of the user's takes the place of ours of its kind.

    But for checkpoints: a user's are added to ours.

    Args:
        run: the run folder.
        trainer: its configuration.
        watch: what TensorBoard shows.
        given: the user's.
        facts: see `collect_facts`.
        hparams: see `flatten_hparams`.
        monitor: what the best checkpoint is chosen by; None: there is nothing to choose by.
        mode: which values of it are better.
    """
    ours: list[tuple[type[Callback], Callback | None]] = [
        (callbacks.Throughput, callbacks.Throughput()),
        (LearningRateMonitor, LearningRateMonitor() if trainer.logger is not False else None),
        *((type(c), c) for c in dashboards.watch_callbacks(watch)),
        (callbacks.StopOnNaN, callbacks.StopOnNaN()),
        (callbacks.WarnOnNaN, callbacks.WarnOnNaN()),
        (callbacks.CheckMonitors, callbacks.CheckMonitors()),
        (ProgressBar, callbacks.EpochProgress() if trainer.enable_progress_bar is not False else None),
        (callbacks.Record, callbacks.Record(run, facts)),
        (dashboards.HParams, dashboards.HParams(hparams)),
    ]
    own = [c for kind, c in ours if c is not None and not any(isinstance(g, kind) for g in given)]
    theirs = [g for g in given if not isinstance(g, Checkpoint)]
    savers = [g for g in given if isinstance(g, Checkpoint)]
    if trainer.enable_checkpointing is not False:
        # Lightning takes the first for the trainer's own. Ours stay where a user adds one: every command reads them.
        seldom = trainer.check_val_every_n_epoch != 1
        ours_last = callbacks.build_checkpoints(run.checkpoints, monitor, mode, each_epoch=seldom)
        savers = [*ours_last, *savers, callbacks.StopOnSignal(str(run.last))]
    return [*theirs, *own, *savers]


def collect_facts(line: CommandLine, resolved: dict[str, Any], precision_reason: str) -> dict[str, Any]:
    """What the manifest says of how the run was started."""
    return {
        "command": quote_command(line.command, *line.typed),
        "versions": versions(),
        "machine": machine(),
        "code": code_version(resolved),
        "git": git_state(),
        "seed": resolved["seed_everything"],
        "precision": {"value": str(resolved["trainer"]["precision"]), "reason": precision_reason},
    }


def flatten_hparams(config: dict[str, Any]) -> dict[str, Any]:
    """The choices that TensorBoard's table compares runs by, flat."""
    chosen = {key: config[key] for key in ("seed_everything", "model", "data")}
    trainer = {key: config["trainer"][key] for key in ("max_epochs", "precision", "gradient_clip_val")}
    return dict(flat({**chosen, "trainer": trainer}))
