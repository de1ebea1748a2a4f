"""Builds the trainer of each command, and runs a fit from its start to its closing lines."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ProgressBar

from cnnkit import callbacks
from cnnkit.cli.errors.trainer_errors import name_callback, name_trainer_argument
from cnnkit.cli.fit.callbacks import build_callbacks, build_loggers, collect_facts, flatten_hparams
from cnnkit.cli.fit.choices import choose_monitor
from cnnkit.cli.fit.output import print_fit_report, print_fit_start, print_trial
from cnnkit.cli.fit.ranks import is_first_process
from cnnkit.cli.fit.trainer_values import check_length, describe_ignored_limits
from cnnkit.cli.fit.user_callbacks import refuse_silent, remove_finders, select_for_command
from cnnkit.errors import UserError
from cnnkit.precision import describe_slow_precision
from cnnkit.reporting.terminal import print_rows
from cnnkit.runs import RunFolder

if TYPE_CHECKING:
    from cnnkit.cli.fit.session import Session


def fit_trainer(session: "Session") -> L.Trainer:
    """The trainer of a fit, with our loggers, callbacks and checkpoint files beside the user's."""
    asked = vars(session.objects.trainer)
    check_length(asked)
    given = [*as_list(asked["callbacks"]), *session.watching]
    refuse_silent(given, asked["max_time"])
    plugins = [*as_list(asked["plugins"]), callbacks.SafeCheckpointIO()]
    with name_trainer_argument(asked):
        if leaves_nothing(asked):
            shown = {} if _draws(given) or asked["barebones"] else {"enable_progress_bar": sys.stderr.isatty()}
            return L.Trainer(**{**asked, "callbacks": given, "plugins": plugins, **shown})
        session.made = session.run is None
        run = session.run = session.run or session.new_run()
        ours: dict[str, Any] = {
            "logger": build_loggers(run, asked["logger"], session.resume.step if session.resume else None),
            "callbacks": _fit_callbacks(session, run, given),
            "plugins": plugins,
            "default_root_dir": str(run.path),
        }
        return L.Trainer(**{**asked, **ours})


def plain_trainer(session: "Session") -> L.Trainer:
    """The trainer of validate, test and predict: nothing is logged or saved, and only callbacks for this act."""
    asked, terminal = vars(session.objects.trainer), sys.stderr.isatty()
    quiet = {"logger": False, "enable_model_summary": False, "enable_checkpointing": False, "barebones": False}
    quiet |= {"enable_progress_bar": terminal, "fast_dev_run": False}
    theirs = select_for_command(as_list(asked["callbacks"]), session.command, terminal)
    theirs += [session.predictions] if session.command == "test" else []
    plugins = [*as_list(asked["plugins"]), callbacks.SafeCheckpointIO()]
    with name_trainer_argument(asked):
        return L.Trainer(**{**asked, **quiet, "plugins": plugins, "callbacks": theirs})


def train(session: "Session") -> None:
    """Fit, and say at the start and at the end what there is to say."""
    asked, trainer = vars(session.objects.trainer), session.trainer
    if session.run is not None and is_first_process():
        precision = f"{trainer.precision} ({session.precision_reason})"
        print_fit_start(session.run, session.model, session.datamodule, precision, trainer)
        for note in [
            *describe_ignored_limits(asked),
            *describe_slow_precision(str(trainer.precision), asked["accelerator"]),
        ]:
            print(f"note: {note}", file=sys.stderr)
    with name_callback(trainer, as_list(asked["callbacks"])):
        checkpoint = str(session.resume.checkpoint) if session.resume else None
        trainer.fit(session.model, session.datamodule, ckpt_path=checkpoint, weights_only=session.config.weights_only)
    if trainer.global_step == 0:
        raise UserError(
            "trainer.callbacks or trainer.max_time ended the run before the first step: nothing was trained"
        )
    if not trainer.is_global_zero:
        return
    seconds = time.perf_counter() - session.began
    if session.run is None:
        print_trial(trainer, "barebones" if asked["barebones"] else "fast_dev_run", seconds)
        return
    if not session.run.config.exists():  # somebody has removed the folder; the rest of it is there again
        session.write_config()
    print_fit_report(session.run, seconds)
    if session.resume is not None and trainer.global_step == session.resume.step:
        print("the run was finished already; to train on, add --trainer.max_epochs N", file=sys.stderr)


def leaves_nothing(asked: dict[str, Any]) -> bool:
    """Whether the trainer's arguments ask for a fit that writes nothing: a trial of the code, or of the speed."""
    return bool(asked["fast_dev_run"] or asked["barebones"])


def as_list(value: Any) -> list[Any]:
    """A list of what may be one, several, or none."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _draws(given: Sequence[Callback]) -> bool:
    return any(isinstance(callback, ProgressBar) for callback in given)


def _fit_callbacks(session: "Session", run: RunFolder, given: Sequence[Callback]) -> list[Callback]:
    trainer, watch = session.config.trainer, session.objects.watch
    monitor = choose_monitor(session.config.monitor, trainer, session.datamodule)
    facts = collect_facts(session.line, session.resolved(), session.precision_reason)
    if session.resume is not None:
        facts["changes"] = session.resume.changes
    hparams = flatten_hparams(session.configuration.as_dict())
    ours = build_callbacks(run, trainer, watch, given, facts, hparams, monitor, session.config.mode)

    def record(found: dict[str, Any]) -> None:
        facts["tuned"] = found
        hparams.update(found)
        record_tuned(session, found)

    return [callbacks.Tuned(record), *ours]


def record_tuned(session: "Session", found: dict[str, Any]) -> None:
    """Write the value that a finder has set into config.yaml, and remove the finder from it."""
    config = session.config
    for key, value in found.items():
        part, *middle, last = key.split(".")
        held = config[part]
        for name in middle:
            held = held.init_args[name]
        before = held.init_args.get(last)
        held.init_args[last] = value
        print_rows({key: f"{value:.4g}, found; {'none' if before is None else f'{before:.4g}'} was asked for"})
    config.trainer.callbacks = remove_finders(config.trainer.callbacks)
    session.write_config()
