"""Lets a command finish when its output cannot be written: ``| head``, a full disk, a closed terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


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
