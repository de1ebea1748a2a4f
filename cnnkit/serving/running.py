"""A server from its socket to its end."""

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from cnnkit.errors import UserError
from cnnkit.serving.connections import make_protocol
from cnnkit.serving.gate import Gate


def open_socket(host: str, port: int) -> socket.socket:
    """Open the socket on which a server listens.

    Args:
        host: a name or address of this machine.
        port: its number; 0 for a free one.

    Raises:
        UserError: the port is in use or not allowed, or the host is not this machine's.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family)
    except socket.gaierror:
        raise UserError(f"--host is {host!r}: no such name or address; leave it out for this machine alone") from None
    except OSError as error:
        remedy = "name another (--port N), or 0 for a free one"
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is in use: {remedy}") from None
        if error.errno == errno.EACCES:
            raise UserError(f"port {port} of {host} is not allowed to you: {remedy}") from None
        raise UserError(f"{host}, port {port}: {error.strerror}; 127.0.0.1 is this machine alone") from None


def serve(app: Gate, listening: socket.socket, seconds: float, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; those that run then are finished.

    Args:
        app: what answers.
        listening: see `open_socket`.
        seconds: how long a connection may be idle, and how long the end waits for requests that run.
        started: called before the first request is taken.
    """
    config = uvicorn.Config(
        app,
        http=make_protocol(seconds),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(seconds)),
    )
    server = uvicorn.Server(config)
    with _signals_that_end_well():
        started()
        server.run([listening])


@contextlib.contextmanager
def _signals_that_end_well() -> Iterator[None]:
    """uvicorn ends at these signals and then raises them again for whoever had them before: for nobody, here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
