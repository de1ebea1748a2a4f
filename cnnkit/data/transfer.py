"""An address's content to a file, within bounds of size and time whatever the server does."""

import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Protocol
from urllib import request

TIMEOUT = 30.0  # seconds without a byte
OPENING = 90.0  # seconds until the answer's head is there, redirects and all
GRACE, RATE = 60.0, 10_000  # after so many seconds it must have come at so many bytes a second
_PIECE = 1 << 16


class Answer(Protocol):
    """What is read of an answer: `http.client.HTTPResponse` has it."""

    headers: Any

    def read1(self, n: int = -1, /) -> bytes:
        """What has come, at most n bytes."""


def download(url: str, path: Path, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
    """Bring an address's content to `path`, over http or https only, wherever redirects lead.

    Args:
        url: the address.
        path: the file.
        limit: bytes it may have.
        clock: tells the seconds.

    Raises:
        OSError: it cannot be reached, is cut short, too long, or comes too slowly.
    """
    with open_within(url, OPENING) as answer, path.open("wb") as file:
        claimed = int(answer.headers.get("Content-Length") or -1)
        if claimed > limit:
            raise OSError(f"it claims {claimed:,} bytes where at most {limit:,} are expected")
        size, start, shown = 0, clock(), 0.0
        while piece := answer.read1(_PIECE):
            file.write(piece)
            size += len(piece)
            seconds = clock() - start
            if size > limit:
                raise OSError(f"it sends more than the {limit:,} bytes expected")
            if seconds > GRACE and size < seconds * RATE:
                raise OSError(f"it is too slow: {size:,} bytes in {seconds:.0f} s")
            if sys.stderr.isatty() and seconds > shown + 1:
                shown = seconds
                print(f"\r  {size / 1e6:.0f} MB", end="\r", file=sys.stderr, flush=True)
    if 0 <= claimed != size:
        raise OSError(f"it was cut short: {size:,} of {claimed:,} bytes")


def open_within(url: str, seconds: float) -> HTTPResponse:
    """Open an address in a thread of its own: a server could send the head byte by byte without end.

    Raises:
        OSError: it cannot be opened, or has not sent its head within so many seconds.
    """
    found: list[HTTPResponse | BaseException] = []

    def try_to_open() -> None:
        try:
            found.append(_opener().open(url, timeout=TIMEOUT))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=try_to_open, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _opener() -> request.OpenerDirector:
    """Without the handlers of file:, ftp: and data:."""
    opener = request.OpenerDirector()
    for handler in (
        *(request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler),
        *(request.HTTPRedirectHandler, request.HTTPErrorProcessor, request.HTTPDefaultErrorHandler),
        request.UnknownHandler,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "cnnkit")]
    return opener
