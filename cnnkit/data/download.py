"""Fetching a file so that it is either whole, checked and under its name, or not there at all."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

from cnnkit.data.transfer import download
from cnnkit.errors import UserError

TRIES = 3


def fetch(
    urls: Sequence[str],
    target: Path,
    verify: Callable[[Path], object],
    *,
    limit: int = 1 << 30,
    remedy: str = "",
    transfer: Callable[[str, Path], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Download `target` from the first of `urls` that delivers it, trying each three times with growing pauses.

    The bytes go to a folder beside the target, are verified there and then renamed: no partial or wrong file ever
    has the target's name, whenever the process is killed. Call it under a `lock`.

    Args:
        urls: Addresses of the same file, the preferred one first.
        target: Where the file shall be.
        verify: Called with the downloaded file's path; raises ``ValueError`` if its content is wrong.
        limit: Bytes that it may have.
        remedy: Said after the reason when nothing helped.
        transfer: Brings an address's content to a path; none given: `cnnkit.data.transfer.download`.
        sleep: Pauses between the tries.

    Raises:
        UserError: No address delivered the file; the message is at most three lines.
    """
    transfer = transfer or partial(download, limit=limit)
    last = ""
    for attempt in range(TRIES):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        for url in urls:
            try:
                with _part(target) as part:
                    print(f"cnnkit: downloading {url}", file=sys.stderr)
                    transfer(url, part)
                    verify(part)
                    with part.open("rb+") as file:
                        os.fsync(file.fileno())
                    part.replace(target)
                fsync_folder(target.parent)
                return
            except (OSError, ValueError, RuntimeError, HTTPException) as error:
                last = " ".join(str(error).split())[:120] or type(error).__name__
    hosts = ", ".join(dict.fromkeys(urlsplit(url).netloc for url in urls))
    raise UserError(f"Could not download {target.name} from {hosts}: {last}.\n{remedy or f'Put it at {target}.'}")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold `path` for this process; others wait. The system lets go of it when the process ends, however it ends.

    Raises:
        UserError: The folder of `path` cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise UserError(
            f"Cannot write to {path.parent}: {error.strerror}. Name a writable folder as data_dir; a read-only folder "
            "that holds the originals can be named as mirror."
        ) from None
    with handle:
        if sys.platform != "win32":  # there, and where the file system has no locks, the renames alone must do
            import fcntl

            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fsync_folder(folder: Path) -> None:
    """Make renames within a folder last through a power cut, where the system allows it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A place beside the target for a file of the same name, gone afterwards; also sweeps what a killed one left."""
    for stale in target.parent.glob(".part-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = target.parent / f".part-{token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder / target.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)
