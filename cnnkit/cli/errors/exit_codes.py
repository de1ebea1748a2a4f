"""Ends a command with an exit code and at most three lines on stderr, and lets it finish when nobody reads its output.

Standard library only.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from cnnkit.errors import UserError
from cnnkit.notices import is_refused_elsewhere, is_said_by_other_rank

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
        silent = code == 2 and is_refused_elsewhere()  # an error that is no refusal may be of this rank alone
        if not silent and not is_said_by_other_rank(text := "\n".join(lines)):
            print(text, file=sys.stderr)
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


class FaultTolerantStream:
    """Passes text on to a stream until that fails, and drops the rest."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write to the stream, unless it has failed."""
        self._attempt(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it has failed."""
        self._attempt(self.stream.flush)

    def _attempt(self, action: Callable[..., Any], *args: Any) -> None:
        if self.error is not None:
            return
        try:
            action(*args)
        except OSError as error:
            self.error = error
            # What the stream still holds would fail once more when Python ends: let it go nowhere.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def keep_streams_open() -> Iterator[dict[str, OSError]]:
    """Let `sys.stdout` and `sys.stderr` raise no error within the context.

    Yields:
        Filled at the end: what failed, by the stream's name; a reader that has gone away is no failure.
    """
    _open_closed_ones()
    before = sys.stdout, sys.stderr
    failed: dict[str, OSError] = {}
    out, err = FaultTolerantStream(sys.stdout), FaultTolerantStream(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield failed
    finally:
        for name, stream in (("standard output", out), ("standard error", err)):
            stream.flush()
            if stream.error is not None and not isinstance(stream.error, BrokenPipeError):
                failed[name] = stream.error
        if "standard output" in failed:
            print(f"standard output: cannot be written ({failed['standard output'].strerror})", file=sys.stderr)
        sys.stdout, sys.stderr = before


def _open_closed_ones() -> None:
    """Open closed descriptors; else the next file would get number 1 or 2, and with it what is printed."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            if getattr(sys, name) is None:
                setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
