"""Turns what ends a command into an exit code and at most three lines on stderr. Standard library only."""

import sys
import traceback
from collections.abc import Callable

from cnnkit.errors import UserError

Description = tuple[int, list[str]]  # an exit code, and lines


def run_to_exit_code(
    run: Callable[[], int], describe: Callable[[Exception], Description], *, debug: bool, stopped: str = "stopped"
) -> int:
    """Run a command; `debug` prints an error's traceback, too, and `stopped` is the line after an interrupt."""
    try:
        return run()
    except (KeyboardInterrupt, SystemExit) as end:
        # Lightning turns an interrupt into a SystemExit; other ones end --help and --print_config.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, KeyboardInterrupt):
            return int(end.code or 0) if isinstance(end.code, int) or end.code is None else 2
        print(stopped, file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, lines = describe(error)
        print("\n".join(lines), file=sys.stderr)
        return code


def describe_briefly(error: Exception) -> Description:
    """Describe an error of a command that trains nothing."""
    if isinstance(error, UserError):
        return 2, f"error: {error}".splitlines()[:3]
    if isinstance(error, OSError) and error.filename is not None:
        return 2, [f"error: {error.filename}: {error.strerror}"]
    return describe_bug(error)


def describe_bug(error: BaseException) -> Description:
    """Describe an error that is nobody's wrong value."""
    text = " ".join(str(error).split())
    text = text if len(text) < 240 else f"{text[:237]}..."
    return 1, [f"error: {type(error).__name__}: {text}", "--debug shows where it was raised"]
