"""Downloads within limits of size and time: a file is complete and checked, or it is not there."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib import request
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cnnkit.errors import UserError
from cnnkit.notices import say
from cnnkit.runs.lock import hold_lock

TRIES = 3
TIMEOUT = 30.0  # seconds without a byte
OPENING = 90.0  # seconds until the headers have come, redirects included
GRACE, RATE = 60.0, 10_000  # after so many seconds the mean rate must be so many bytes a second
_PIECE = 1 << 16


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

    The bytes go to a folder beside the target, are verified there and then renamed. So no partial or wrong file ever
    has the target's name, even if the process is killed. Call it under a `lock`.

    Args:
        urls: Addresses of the same file, the preferred one first.
        target: The path of the file.
        verify: Called with the downloaded file's path; raises ``ValueError`` if its content is wrong.
        limit: Largest number of bytes.
        remedy: Follows the reason in the error's message.
        transfer: Writes an address's content to a path; none given: `download`.
        sleep: Pauses between the tries.

    Raises:
        UserError: No address delivered the file; the message is at most three lines.
    """
    transfer = transfer or partial(download, limit=limit)
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(".part-*"):  # left by a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    hosts, last = [*dict.fromkeys(urlsplit(url).netloc for url in urls)], ""
    say(f"downloading {target.name} from {' or '.join(hosts)}")
    for attempt in range(TRIES):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        for url in urls:
            try:
                with TemporaryDirectory(prefix=".part-", dir=target.parent, ignore_cleanup_errors=True) as folder:
                    part = Path(folder, target.name)
                    transfer(url, part)
                    verify(part)
                    with part.open("rb+") as file:
                        os.fsync(file.fileno())
                    part.replace(target)
                return
            except (OSError, ValueError, RuntimeError, HTTPException) as error:
                last = " ".join(str(error).split())[:120] or type(error).__name__
    raise UserError(
        f"Could not download {target.name} from {', '.join(hosts)}: {last}.\n{remedy or f'Put it at {target}.'}"
    )


def download(url: str, path: Path, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
    """Write the content of an address to `path`, over http or https only, redirects included.

    Raises:
        OSError: it cannot be reached, ends early, has more than `limit` bytes, or comes too slowly.
    """
    columns = (TextColumn("  {task.description}"), DownloadColumn(), TransferSpeedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with open_within(url, OPENING) as answer, path.open("wb") as file, progress:
        claimed = int(answer.headers.get("Content-Length") or -1)
        if claimed > limit:
            raise OSError(f"it claims {claimed:,} bytes where at most {limit:,} are expected")
        bar = progress.add_task(path.name, total=claimed if claimed >= 0 else None)
        size, start = 0, clock()
        while piece := answer.read1(_PIECE):
            file.write(piece)
            size += len(piece)
            seconds = clock() - start
            if size > limit:
                raise OSError(f"it sends more than the {limit:,} bytes expected")
            if seconds > GRACE and size < seconds * RATE:
                raise OSError(f"it is too slow: {size:,} bytes in {seconds:.0f} s")
            progress.update(bar, completed=size)
    if 0 <= claimed != size:
        raise OSError(f"it was cut short: {size:,} of {claimed:,} bytes")


def open_within(url: str, seconds: float) -> HTTPResponse:
    """Open an address in a thread of its own, because a server could send its headers byte by byte without end.

    Raises:
        OSError: it cannot be opened, or has not sent its headers within so many seconds.
    """
    results: list[HTTPResponse | BaseException] = []

    def try_to_open() -> None:
        try:
            results.append(_build_opener().open(url, timeout=TIMEOUT))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=try_to_open, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


def _build_opener() -> request.OpenerDirector:
    """Build an opener without the handlers of file:, ftp: and data:."""
    opener = request.OpenerDirector()
    for handler in (
        *(request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler),
        *(request.HTTPRedirectHandler, request.HTTPErrorProcessor, request.HTTPDefaultErrorHandler),
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "cnnkit")]
    return opener


@contextmanager
def lock(path: Path, work: str) -> Iterator[None]:
    """Hold `path` for this process; others wait. The system releases it when the process ends, even if it crashes.

    Args:
        path: the lock's file.
        work: what the holder does, such as ``downloads MNIST``, for the line that one who waits prints.

    Raises:
        UserError: The folder of `path` cannot be written to.
    """
    with ExitStack() as stack:
        try:
            waiting = f"{path.parent}: another process {work}; waiting for it"
            stack.enter_context(hold_lock(path, str, seconds=-1, waiting=waiting))
        except OSError as error:
            raise UserError(
                f"Cannot write to {path.parent}: {error.strerror}. Name a writable folder as data_dir; a read-only "
                "folder that holds the originals can be named as mirror."
            ) from None
        yield
