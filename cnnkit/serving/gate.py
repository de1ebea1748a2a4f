"""What every request passes first: whether it was meant for this server, and the count of what it got."""

import ipaddress
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnnkit.serving.metrics import GONE, Metrics

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """Refuses requests for other hosts, and those of other sites' pages; counts all.

    A server on this machine alone is still reached by a page of any site, in a browser on this machine: by a name of
    that site that leads to 127.0.0.1 (DNS rebinding), or by a form that it sends there. The header ``Host`` or
    ``Origin`` then names that site.

    Args:
        app: what answers.
        metrics: where requests are counted.
        paths: those that are counted by their own names.
        hosts: names that a request may be for, in lower case; None: any.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str], hosts: Collection[str] | None) -> None:
        self.app, self.metrics, self.paths, self.hosts = app, metrics, paths, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status: int | str = GONE
        began = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"] if message["status"] != 499 else GONE
            await send(message)

        try:
            refusal = self._refuse(Headers(scope=scope))
            await (refusal or self.app)(scope, receive, note_status)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.count_request(path, status, time.perf_counter() - began)

    def _refuse(self, headers: Headers) -> ASGIApp | None:
        if self.hosts is None:
            return None
        if (host := _find_name(f"//{headers.get('host', '')}")) not in self.hosts:
            hint = "--allow_host NAME allows another name"
            return _say(403, f"the request is for the host {host!r}, which is not this server's; {hint}")
        if "origin" in headers and (origin := _find_name(headers["origin"])) not in self.hosts:
            return _say(403, f"the request comes from a page of another site ({origin!r}); open the server's own page")
        return None


def choose_hosts(host: str, allowed: Collection[str]) -> frozenset[str] | None:
    """Choose the names that requests may be for; None, any, if the server is open to others and no name is allowed."""
    if not allowed and not is_local(host):
        return None
    return LOCAL | {name.lower() for name in (host, *allowed)}


def is_local(host: str) -> bool:
    """Whether a server on this host is reached from its own machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _find_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # such as an open bracket
        return ""


def _say(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
