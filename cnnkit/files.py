"""Atomic writing of files, and reading that never waits for a pipe."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cnnkit.errors import UserError

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_not_written: dict[str, str] = {}


# ---- writing ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write: beside the target, flushed to the disk, then renamed into place; nothing on an error.

    Args:
        path: the target.
        mode: ``w`` for text, ``wb`` for bytes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # File names may hold bytes that are no UTF-8; they are written as they are.
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        with temporary.open(mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the error that brought us here says more
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_output(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """`replacing` for an output file of the command line; its folder is made.

    Raises:
        UserError: it cannot be written, or is a pipe, a device or a folder.
    """
    with contextlib.suppress(OSError):  # a missing file is fine; other errors follow below
        check_regular(path)  # a rename would replace a device or pipe by a file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, mode) as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); name another file") from None


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill: beside the target, then renamed into its place; nothing on an error. It needs a lock.

    Processes that have opened files of the old folder keep them.
    """

    def sweep() -> None:
        for stale in folder.parent.glob(f".{folder.name}-*"):  # also those of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)

    sweep()
    part, old = (folder.with_name(f".{folder.name}-{secrets.token_hex(4)}") for _ in range(2))
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        sweep()


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file or none of it."""
    with replacing(path) as file:
        file.write(text)


def sweep_temporaries(folder: Path) -> None:
    """Delete temporary files that killed processes have left in a folder."""
    for file in folder.glob(".*.tmp"):
        name = _TEMPORARY.fullmatch(file.name)
        if name and not is_alive(int(name[1])):
            with contextlib.suppress(OSError):
                file.unlink()


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has the number; on Windows only this one is known."""
    if pid == os.getpid() or os.name != "posix":
        return pid == os.getpid()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def note_not_written(path: Path | str, error: OSError, consequence: str = "") -> None:
    """Print once for each file that it could not be written, and remember it for the exit code."""
    if str(path) not in _not_written:
        reason = error.strerror or type(error).__name__
        _not_written[str(path)] = reason
        print(f"{path}: cannot be written ({reason}){consequence}", file=sys.stderr)


def not_written() -> dict[str, str]:
    """Files that could not be written, with the reasons; a command clears them when it starts."""
    return _not_written


# ---- reading ---------------------------------------------------------------------------------------------------------


def check_regular(path: str | os.PathLike[str]) -> None:
    """Check that a path is a file: reading a pipe or device could wait for ever.

    Raises:
        UserError: it is something else.
        FileNotFoundError: it does not exist.
        OSError: it cannot be inspected.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
        raise UserError(f"{path}: {kind}, where a file is needed; name a file")


@contextlib.contextmanager
def open_regular(path: str | os.PathLike[str], mode: str = "r", **options: Any) -> Iterator[IO[Any]]:
    """Open a file to read, and nothing but a file; see `check_regular`.

    Args:
        path: the file.
        mode: ``r`` for UTF-8 text, ``rb`` for bytes.
        **options: as for the built-in ``open``.
    """
    check_regular(path)

    def without_waiting(name: str, flags: int) -> int:
        """A pipe that takes the file's place now is opened at once, too, and then refused."""
        handle = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "no regular file", name)
        return handle

    text = {} if "b" in mode else {"encoding": "utf-8"}
    with open(path, mode, opener=without_waiting, **text | options) as file:
        yield file
