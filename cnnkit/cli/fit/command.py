"""Runs fit, validate, test or predict, from the words to the exit code."""

from collections.abc import Sequence

from lightning.pytorch.callbacks import Callback

from cnnkit import callbacks
from cnnkit.cli.errors.exit_codes import run_to_exit_code
from cnnkit.cli.errors.messages import describe_error
from cnnkit.cli.fit.ranks import leave_no_ranks
from cnnkit.cli.fit.session import Session
from cnnkit.cli.parsing.command_line import read_command_line
from cnnkit.cli.quiet import quieten
from cnnkit.threads import Usage


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
