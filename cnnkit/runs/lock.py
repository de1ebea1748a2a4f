"""One writer at a time: locks that the system releases when their process ends, however it ends."""

import contextlib
import datetime
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.files import open_regular, sweep_temporaries, write_atomically

LOCK, NOTE = ".writer.lock", ".writer.json"


@contextlib.contextmanager
def hold_writer_lock(folder: Path, command: str) -> Iterator[None]:
    """Be the only process that trains in a run folder; sweeps what killed ones have left there.

    Where the file system has no locks, filelock falls back to a file that names its process.

    Args:
        folder: the run folder.
        command: said to those who are refused.

    Raises:
        UserError: another process is at it, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: {_describe(folder)} is writing to it; wait for it, or stop it") from None
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
        with contextlib.suppress(OSError):  # the folder may be gone
            (folder / NOTE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            lock.release()


def refuse_if_written(folder: Path) -> None:
    """See that no process is training in a run folder.

    Raises:
        UserError: one is.
    """
    if (writer := find_writer(folder)) is not None:
        raise UserError(f"{folder}: {writer} is writing to it; wait for it, or stop it")


def find_writer(folder: Path) -> str | None:
    """Who is training in a run folder, in words; None if nobody is, though a killed process may have left its name."""
    from filelock import FileLock, Timeout

    if not (folder / LOCK).exists():
        return None
    try:
        with FileLock(folder / LOCK, timeout=0, thread_local=False):
            return None
    except Timeout:
        return _describe(folder)
    except OSError:  # not ours to lock: then who writes cannot be known
        return None


@contextlib.contextmanager
def hold_lock(file: Path) -> Iterator[None]:
    """Wait for a lock that is held for the time of one small write."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(file, timeout=60, thread_local=False):
            yield
    except Timeout:
        raise UserError(f"{file}: another process has held it for a minute; stop that process") from None


def _describe(folder: Path) -> str:
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError), open_regular(folder / NOTE) as file:
        found = json.load(file)
    if not isinstance(found, dict) or not {"pid", "host", "command"} <= found.keys():
        return "another process"
    return f"process {found['pid']} on {found['host']} ({found['command']})"
