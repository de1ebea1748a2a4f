"""Locks that the system releases when their process ends, however it ends: one writer at a time."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.files import open_regular, sweep_temporaries, write_atomically
from cnnkit.notices import say

LOCK, NOTE = ".writer.lock", ".writer.json"


@contextlib.contextmanager
def hold_lock(file: Path, busy: Callable[[], str], seconds: float = 0, waiting: str = "") -> Iterator[None]:
    """Hold a lock; where the file system has none, filelock falls back to a file that names its process.

    Args:
        file: the lock's file.
        busy: makes the error message if another process holds the lock.
        seconds: how long to wait for it; -1: without end.
        waiting: the line that is printed if another process holds the lock and this one waits.

    Raises:
        UserError: another process holds it.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, thread_local=False)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not seconds:
                raise
            if waiting:
                say(waiting)
            lock.acquire(timeout=seconds)
    except Timeout:
        raise UserError(busy()) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            lock.release()


@contextlib.contextmanager
def hold_writer_lock(folder: Path, command: str) -> Iterator[None]:
    """Be the only process that trains in a run folder; delete what killed processes have left there.

    Args:
        folder: the run folder.
        command: named in the error of a second process.

    Raises:
        UserError: another process trains in it, or the folder cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(folder / LOCK, lambda: _describe_busy(folder, _describe_writer(folder))))
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written to ({error.strerror}); make it writable, or copy the run"
            ) from None
        try:
            for place in (folder, folder / "checkpoints"):
                sweep_temporaries(place)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            about = {"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": now}
            write_atomically(folder / NOTE, json.dumps(about) + "\n")
            yield
        finally:
            with contextlib.suppress(OSError):
                (folder / NOTE).unlink(missing_ok=True)


def refuse_if_written(folder: Path) -> None:
    """Check that no process trains in a run folder.

    Raises:
        UserError: one does.
    """
    if (writer := find_writer(folder)) is not None:
        raise UserError(_describe_busy(folder, writer))


def find_writer(folder: Path) -> str | None:
    """Describe the process that trains in a run folder; None if there is none, though a killed one left its name."""
    if not (folder / LOCK).exists():
        return None
    try:
        with hold_lock(folder / LOCK, str):
            return None
    except UserError:
        return _describe_writer(folder)
    except OSError:  # without permission the writer is unknown
        return None


def _describe_busy(folder: Path, writer: str) -> str:
    return f"{folder}: {writer} is writing to it; wait for it, or stop it"


def _describe_writer(folder: Path) -> str:
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError), open_regular(folder / NOTE) as file:
        found = json.load(file)
    if not isinstance(found, dict) or not {"pid", "host", "command"} <= found.keys():
        return "another process"
    return f"process {found['pid']} on {found['host']} ({found['command']})"
