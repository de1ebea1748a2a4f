"""A server from its socket to its end."""

import contextlib
import errno
import math
import signal
import socket
from collections.abc import Iterator

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


def make_server(app: Gate, seconds: float) -> uvicorn.Server:
    """Make the server of an application.

    Args:
        app: what answers.
        seconds: how long a connection may be idle, and how long the end waits for requests that run.
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
        timeout_graceful_shutdown=math.ceil(seconds),
    )
    return uvicorn.Server(config)


def serve(server: uvicorn.Server, listening: socket.socket) -> None:
    """Answer requests until SIGINT or SIGTERM; those that run then are finished."""
    with _signals_that_end_well():
        server.run([listening])


@contextlib.contextmanager
def _signals_that_end_well() -> Iterator[None]:
    """uvicorn ends at these signals and then raises them again for whoever had them before: for nobody, here."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
