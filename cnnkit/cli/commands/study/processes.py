"""Runs of a study as processes beside each other, which get the signals that the study gets."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from cnnkit.study.engine import CommandResult

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # those that a fit ends on by itself


class Processes:
    """Starts commands, and passes signals on to those that run."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._signal: int | None = None

    def run(self, words: list[str], threads: int) -> CommandResult:
        """Run a command in a process of its own.

        Args:
            words: after ``cnnkit``.
            threads: for arithmetic.
        """
        with self._lock:
            if self._signal is not None:
                return CommandResult(128 + self._signal, "stopped before it began")
            process = subprocess.Popen(
                [sys.executable, "-m", "cnnkit", *words],
                env={"OMP_NUM_THREADS": str(threads), **os.environ},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # or Ctrl-C would reach it twice, and the second one means: at once
            )
            self._running.add(process)
        said, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        return CommandResult.of_process(process.returncode, said)

    @contextlib.contextmanager
    def forwarding_signals(self) -> Iterator[None]:
        """Within it signals go to the running processes, and no further one is started after the first signal."""
        if threading.current_thread() is not threading.main_thread():  # only that one can
            yield
            return
        known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {number: signal.signal(number, self._forward) for number in known}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _forward(self, number: int, frame: object) -> None:
        self._signal = number
        for process in list(self._running):
            process.send_signal(number)
