"""Builds the trainer of each command, and runs a fit from its start to its closing lines."""

import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ProgressBar

from cnnkit import callbacks
from cnnkit.cli.errors.messages import name_callback, name_trainer_argument
from cnnkit.cli.fit.callbacks import (
    build_callbacks,
    build_loggers,
    collect_facts,
    flatten_hparams,
    refuse_ineffective,
    remove_finders,
    select_for_command,
)
from cnnkit.cli.fit.output import print_fit_report, print_fit_start, print_trial
from cnnkit.cli.fit.start import AnnounceStart
from cnnkit.cli.fit.threads import find_other_threads
from cnnkit.cli.fit.trainer_values import check_length, choose_monitor, describe_ignored_limits
from cnnkit.errors import UserError
from cnnkit.precision import describe_slow_precision
from cnnkit.reporting.terminal import print_rows
from cnnkit.runs import RunFolder

if TYPE_CHECKING:
    from cnnkit.cli.fit.session import Session


def fit_trainer(session: "Session") -> L.Trainer:
    """Build the trainer of a fit, with our loggers, callbacks and checkpoint files beside the user's."""
    arguments = vars(session.objects.trainer)
    check_length(arguments)
    users = [*_as_list(arguments["callbacks"]), *session.watching]
    refuse_ineffective(users, arguments["max_time"])
    plugins = [*_as_list(arguments["plugins"]), callbacks.SafeCheckpointIO()]
    with name_trainer_argument(arguments):
        if arguments["fast_dev_run"] or arguments["barebones"]:  # a trial of the code, or of the speed, writes nothing
            if not arguments["barebones"] and not any(isinstance(callback, ProgressBar) for callback in users):
                arguments = {**arguments, "enable_progress_bar": sys.stderr.isatty()}
            return L.Trainer(**{**arguments, "callbacks": users, "plugins": plugins})
        session.made = session.run is None
        run = session.run = session.run or session.new_run()
        ours: dict[str, Any] = {
            "logger": build_loggers(run, arguments["logger"], session.resume.step if session.resume else None),
            "callbacks": _fit_callbacks(session, run, users),
            "plugins": plugins,
            "default_root_dir": str(run.path),
        }
        return L.Trainer(**{**arguments, **ours})


def plain_trainer(session: "Session") -> L.Trainer:
    """Build the trainer of validate, test and predict, which logs and saves nothing."""
    arguments, terminal = vars(session.objects.trainer), sys.stderr.isatty()
    quiet = {"logger": False, "enable_model_summary": False, "enable_checkpointing": False, "barebones": False}
    quiet |= {"enable_progress_bar": terminal, "fast_dev_run": False}
    theirs = select_for_command(_as_list(arguments["callbacks"]), session.command, terminal)
    theirs += [session.predictions] if session.command == "test" else []
    plugins = [*_as_list(arguments["plugins"]), callbacks.SafeCheckpointIO()]
    with name_trainer_argument(arguments):
        return L.Trainer(**{**arguments, **quiet, "plugins": plugins, "callbacks": theirs})


def train(session: "Session") -> None:
    """Train, and print what is used at the start and the results at the end."""
    arguments, trainer = vars(session.objects.trainer), session.trainer
    with name_callback(trainer, _as_list(arguments["callbacks"])):
        checkpoint = str(session.resume.checkpoint) if session.resume else None
        trainer.fit(session.model, session.datamodule, ckpt_path=checkpoint, weights_only=session.config.weights_only)
    if trainer.global_step == 0:
        raise UserError(
            "trainer.callbacks or trainer.max_time ended the run before the first step: nothing was trained"
        )
    if not trainer.is_global_zero:
        return
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, AnnounceStart):  # of a run that was finished already
            callback.announce()
    seconds = time.perf_counter() - session.began
    if session.run is None:
        print_trial(trainer, "barebones" if arguments["barebones"] else "fast_dev_run", seconds)
        return
    if not session.run.config.exists():  # the folder was removed; all other files are there again
        session.write_config()
    print_fit_report(session.run, seconds)
    if session.resume is not None and trainer.global_step == session.resume.step:
        reached = ["--trainer.max_steps N"] * (0 <= trainer.max_steps <= trainer.global_step)
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch:
            reached.append("--trainer.max_epochs N")
        print(f"the run was finished already; to train on, add {' and '.join(reached) or 'more'}", file=sys.stderr)


def _announce(session: "Session") -> None:
    """Print what the fit uses."""
    arguments, trainer = vars(session.objects.trainer), session.trainer
    assert session.run is not None
    precision = f"{trainer.precision} ({session.precision_reason})"
    print_fit_start(session.run, session.model, session.datamodule, precision, trainer)
    slow = describe_slow_precision(str(trainer.precision), arguments["accelerator"])
    for note in [*describe_ignored_limits(arguments), *slow]:
        print(f"note: {note}", file=sys.stderr)


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _fit_callbacks(session: "Session", run: RunFolder, users: Sequence[Callback]) -> list[Callback]:
    trainer, watch = session.config.trainer, session.objects.watch
    monitor = choose_monitor(session.config.monitor, trainer, session.datamodule)
    facts = collect_facts(session.line, session.resolved(), session.precision_reason)
    facts["machine"] |= session.cores_facts
    facts |= session.given.facts if session.given is not None else {}
    if session.resume is not None:
        facts["changes"] = {**session.resume.changes, **find_other_threads(session.resume.run, trainer)}
    hparams = flatten_hparams(session.configuration.as_dict())
    ours = build_callbacks(run, trainer, watch, users, facts, hparams, monitor, session.config.mode)

    def record(found: dict[str, Any]) -> None:
        facts["tuned"] = found
        hparams.update(found)
        _record_tuned(session, found)

    return [callbacks.Tuned(record), AnnounceStart(partial(_announce, session)), *ours]


def _record_tuned(session: "Session", found: dict[str, Any]) -> None:
    """Write the value that a finder has set into config.yaml, and remove the finder from it."""
    config = session.config
    for key, value in found.items():
        part, *middle, last = key.split(".")
        spec = config[part]
        for name in middle:
            spec = spec.init_args[name]
        before = spec.init_args.get(last)
        spec.init_args[last] = value
        print_rows({key: f"{value:.4g}, found; it was {'none' if before is None else f'{before:.4g}'}"})
    config.trainer.callbacks = remove_finders(config.trainer.callbacks)
    session.write_config()
