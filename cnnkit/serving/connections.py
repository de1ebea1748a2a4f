"""Connections that nobody uses end: uvicorn itself waits for ever for a header, and for a reader of an answer."""

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_MALFORMED = json.dumps({"error": "this is no valid HTTP request, or its header is too long"}).encode()


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP on a connection, with a time limit wherever only the client can go on.

    A body has its time limit in `cnnkit.serving.service.Service`. Here are those of a header, of the rest of a body
    whose request has been answered, and of an answer that is not read. What is no HTTP gets an answer in JSON, as
    every other mistake.
    """

    seconds = 30.0

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_clock()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete and not self.flow.write_paused:
            self._stop_clock()

    def on_response_complete(self) -> None:
        self._start_clock()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_clock()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.cycle.response_complete:
            self._stop_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun
            self.transport.abort()
            return
        headers = [("content-type", "application/json"), ("content-length", str(len(_MALFORMED)))]
        events = [
            h11.Response(status_code=400, headers=[*headers, ("connection", "close")]),
            h11.Data(data=_MALFORMED),
            h11.EndOfMessage(),
        ]
        self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def make_protocol(seconds: float) -> type[ImpatientProtocol]:
    """Make the protocol with another time limit; uvicorn gives its protocols no arguments of ours."""
    return type("ImpatientProtocol", (ImpatientProtocol,), {"seconds": seconds})
