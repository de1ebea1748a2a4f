"""Builds loggers and callbacks, selects and refuses those of the user, and collects the facts for a run's manifest."""

from collections.abc import Iterable, Sequence
from typing import Any

from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    Checkpoint,
    DeviceStatsMonitor,
    EMAWeightAveraging,
    LearningRateFinder,
    LearningRateMonitor,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
)

from cnnkit import callbacks, dashboards
from cnnkit.cli.fit.output import flatten_config
from cnnkit.cli.fit.provenance import read_git_state, read_machine, read_versions
from cnnkit.cli.parsing.command_line import CommandLine
from cnnkit.errors import UserError
from cnnkit.loggers import MetricsCSV, TensorBoard
from cnnkit.metric_names import Mode
from cnnkit.runs import RunFolder
from cnnkit.runs.identity import code_version
from cnnkit.shell import quote_command

FINDERS = (LearningRateFinder, BatchSizeFinder)
# TensorBoard's table shows five settings at first.
_FIRST = ("model.optimizer.lr", "model.net", "model.optimizer", "trainer.max_epochs", "data.batch_size")


def build_loggers(run: RunFolder, logger: Any, resume_step: int | None) -> Any:
    """Build TensorBoard and metrics.csv, and a user's own after them; none at all for ``false``."""
    if logger is False:
        return False
    own = [] if logger in (None, True) else list(logger) if isinstance(logger, Iterable) else [logger]
    return [TensorBoard(run.path, resume_step), MetricsCSV(run.metrics, resume_step), *own]


def build_callbacks(
    run: RunFolder,
    trainer: Any,
    watch: dashboards.Watch | None,
    users: Sequence[Callback],
    facts: dict[str, Any],
    hparams: dict[str, Any],
    monitor: str | None,
    mode: Mode,
) -> list[Callback]:
    """Build the list of callbacks: the user's first, then ours; one of the user's takes the place of ours of its kind.

    A user's checkpoint callbacks are added to ours instead. See `collect_facts` and `flatten_hparams`.
    """
    ours: list[tuple[type[Callback], Callback | None]] = [
        (callbacks.SkipIdleHooks, callbacks.SkipIdleHooks()),
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
    own = [c for kind, c in ours if c is not None and not any(isinstance(u, kind) for u in users)]
    theirs = [u for u in users if not isinstance(u, Checkpoint)]
    savers = [u for u in users if isinstance(u, Checkpoint)]
    if trainer.enable_checkpointing is not False:
        # Lightning takes the first for the trainer's own. Ours stay where a user adds one: every command reads them.
        seldom = trainer.check_val_every_n_epoch != 1
        ours_last = callbacks.build_checkpoints(run.checkpoints, monitor, mode, each_epoch=seldom)
        savers = [*ours_last, *savers, callbacks.StopOnSignal(str(run.last))]
    return [*theirs, *own, *savers]


def collect_facts(line: CommandLine, resolved: dict[str, Any], precision_reason: str) -> dict[str, Any]:
    """Collect what the manifest records about the start of the run."""
    return {
        "command": quote_command(line.command, *line.typed),
        "versions": read_versions(),
        "machine": read_machine(),
        "code": code_version(resolved),
        "git": read_git_state(),
        "seed": resolved["seed_everything"],
        "precision": {"value": str(resolved["trainer"]["precision"]), "reason": precision_reason},
    }


def flatten_hparams(config: dict[str, Any]) -> dict[str, Any]:
    """Flatten the choices by which TensorBoard's table compares runs; it opens on the first ones."""
    chosen = {key: config[key] for key in ("seed_everything", "model", "data")}
    trainer = {key: config["trainer"][key] for key in ("max_epochs", "precision", "gradient_clip_val")}
    found = dict(flatten_config({**chosen, "trainer": trainer}))
    return {key: found[key] for key in _FIRST if key in found} | found


def refuse_ineffective(users: Sequence[Callback], max_time: Any = None) -> None:
    """Refuse callbacks whose effect no checkpoint, score or test would see, or that do something else than they say.

    Raises:
        UserError: naming the callback and what does the same and is saved.
    """
    for place, callback in enumerate(users):
        if any(other.state_key == callback.state_key and _has_state(other) for other in users[:place]):
            raise UserError(
                f"trainer.callbacks: {type(callback).__name__} stands twice, and a checkpoint has room for the state "
                "of one; keep one of them"
            )
        if isinstance(callback, StochasticWeightAveraging):
            raise UserError(
                "trainer.callbacks: StochasticWeightAveraging puts the average into the net after the last checkpoint, "
                "so that nothing validated, saved or tested is averaged; use WeightAveraging or EMA"
            )
        if isinstance(callback, EMAWeightAveraging) and not _is_ours(callback) and _starts_late(callback):
            raise UserError(
                "trainer.callbacks: EMAWeightAveraging that starts late, or updates seldom, validates and saves a net "
                "that is hardly trained; use EMA, which has update_starting_at_step and update_every_n_steps as well, "
                "and whose average is the net itself until then"
            )
        if isinstance(callback, ModelPruning) and not _is_ours(callback):
            raise UserError(
                "trainer.callbacks: Lightning's ModelPruning prunes after an epoch's validation, so that the net which "
                "is saved has not been scored; write ModelPruning alone: cnnkit's prunes before it"
            )
        if isinstance(callback, Timer) and max_time is not None:
            raise UserError("trainer.callbacks: Timer and trainer.max_time both limit the time, and one wins: give one")


def _has_state(callback: Callback) -> bool:
    kind = type(callback)
    return kind.state_dict is not Callback.state_dict or kind.on_save_checkpoint is not Callback.on_save_checkpoint


def _is_ours(callback: Callback) -> bool:
    """Whether it is cnnkit's, by name: an import would make every run depend on a callback that few have."""
    return any(kind.__module__.startswith("cnnkit.callbacks.") for kind in type(callback).__mro__)


def _starts_late(callback: EMAWeightAveraging) -> bool:
    starts_late = callback.update_starting_at_step or callback.update_starting_at_epoch
    return bool(starts_late or callback.update_every_n_steps > 1)


def select_for_command(users: Sequence[Callback], command: str, terminal: bool) -> list[Callback]:
    """Select the user's callbacks that act in ``validate``, ``test`` or ``predict``.

    Those that only train would look there for what a fit sets up: a logger, a restored state, an average.

    Progress bars are drawn on a terminal only.
    """
    stage = {"validate": "validation"}.get(command, command)
    fit_only = (*FINDERS, DeviceStatsMonitor, ModelPruning, *(() if terminal else (ProgressBar,)))
    return [callback for callback in users if not isinstance(callback, fit_only) and _acts(callback, stage)]


def _acts(callback: Callback, stage: str) -> bool:
    """Whether a callback's class has a hook of its own for a stage."""
    hooks = [name for name in dir(Callback) if name.startswith(f"on_{stage}_")]
    return any(getattr(type(callback), name) is not getattr(Callback, name) for name in hooks)


def remove_finders(configured: Any) -> Any:
    """Remove Lightning's finders from a configuration's callbacks: their results are written into it instead."""
    if configured is None:
        return None
    names = {
        f"{module}.{kind.__name__}" for kind in FINDERS for module in (lightning_callbacks.__name__, kind.__module__)
    }
    listed = configured if isinstance(configured, list) else [configured]
    return [callback for callback in listed if callback["class_path"] not in names] or None
