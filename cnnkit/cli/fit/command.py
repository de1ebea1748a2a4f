"""Runs fit, validate, test or predict, from the words to the exit code."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.callbacks import Callback

from cnnkit import callbacks
from cnnkit.cli.errors.exit_codes import run_to_exit_code
from cnnkit.cli.errors.messages import describe_error
from cnnkit.cli.fit.ranks import leave_no_ranks
from cnnkit.cli.fit.session import Session
from cnnkit.cli.parsing.command_line import read_command_line
from cnnkit.threads import Usage

_NAMED_BY_USER = ("callbacks", "profilers", "tuner")  # parts of Lightning
_EXPECTED = "Found current_model_state in the checkpoint"  # in each resume of a run with averaged weights


def run_command(
    command: str,
    args: list[str],
    *,
    began: float,
    debug: bool = False,
    watching: Sequence[Callback] = (),
    cores_before: Usage | None = None,
) -> int:
    """Run one command and turn what goes wrong into an exit code and at most three lines.

    Args:
        command: fit, validate, test or predict.
        args: the words after it.
        began: `time.perf_counter` at the start of the process.
        debug: print the traceback of an error, too.
        watching: callbacks of the caller, which no configuration names.
        cores_before: what the cores had done at the start; with it a fit may choose its number of threads.
    """
    origin = None

    def run() -> int:
        nonlocal origin
        if command == "predict" and any(word.partition("=")[0] == "--images" for word in args):
            from cnnkit.cli.commands.predict import predict_images

            return predict_images(args)
        line = read_command_line(command, args)
        origin = line.origin
        try:
            with leave_no_ranks():
                Session(line, began, watching, cores_before).execute()
        except callbacks.StopRequested as stop:
            return 128 + stop.signum
        return 0

    quieten()
    stopped = "stopped; there is nothing to resume"
    return run_to_exit_code(run, lambda error: describe_error(error, origin), debug=debug, stopped=stopped)


def quieten() -> None:
    """Silence what is known to be harmless, and advertising; everything else is shown."""
    for text in (
        ".*LeafSpec.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # the metrics have summed over the ranks already
        ".*isinstance.treespec.*",
        ".*does not have many workers.*",
        ".*The number of training batches.*is smaller than the logging interval.*",
        ".*callbacks used to create the checkpoint need to be provided.*",
        ".*is already saved during checkpointing.*",
        ".*Total length of `list` across ranks is zero.*",  # of a part without images, which the first lines say
        ".*exists and is not empty.*",
        ".*Logging can impact raw speed so it is disabled.*",  # with barebones
        r"\s*Unable to serialize instance.*",  # see cnnkit.cli.parsing.plain_values
        ".*You defined a `validation_step` but have no `val_dataloader`.*",
        # Lightning looks for a checkpoint to resume from wherever a callback might have left one.
        ".*was called without a model. The last model of the previous `fit` call.*",
        ".*is set, but there is no last checkpoint available.*",
    ):
        warnings.filterwarnings("ignore", message=text)
    # Pillow's notices of single files (odd metadata, size): what matters about a file is an error that names it.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Profilers, finders, summaries and timers report by INFO, and run only where the user names them.
    for part in _NAMED_BY_USER:
        logging.getLogger(f"lightning.pytorch.{part}").setLevel(logging.INFO)
    shared = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    shared.setLevel(logging.INFO)
    if _is_shown not in shared.filters:
        shared.addFilter(_is_shown)


def _is_shown(record: logging.LogRecord) -> bool:
    """Whether a message is a warning, or comes from something that the user has named, not from the trainer."""
    if record.getMessage().startswith(_EXPECTED):
        return False
    return record.levelno > logging.INFO or not set(_NAMED_BY_USER).isdisjoint(Path(record.pathname).parts)
