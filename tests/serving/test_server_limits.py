"""Limits of body, pixels, time and queue; clients that are slow, silent or gone; and that the server goes on."""

import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import RAW, Client, draw, encode, make_predictor, serving

from cnnkit.inference.predictor import Predictor
from cnnkit.serving.limits import Batching

ONE = encode(draw(0))
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


class Stuck(Predictor):
    """Predicts nothing before it is let go, once it has been warmed up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.free, self.begun, self.calls = threading.Event(), threading.Event(), 0
        self.free.set()

    def predict(self, images: Any) -> Any:
        self.calls += len(images)
        self.begun.set()
        assert self.free.wait(20)
        return super().predict(images)

    def stick(self) -> None:
        self.calls = 0
        self.free.clear()
        self.begun.clear()


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    predictor: Stuck = make_predictor(kind=Stuck)
    yield predictor
    predictor.free.set()


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def count_waiting(client: Client) -> int:
    return round(float(client.ask("GET", "/metrics").content.split(b"\ncnnkit_waiting_requests ")[1].split()[0]))


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Start work in a thread; what is returned waits for its result."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def wait() -> Any:
        thread.join(20)
        return found[0]

    return wait


def test_a_large_body_is_refused_before_it_is_sent_whole() -> None:
    with serving(make_predictor(), body=1000, seconds=0.3) as client:
        for length in (b"Content-Length: 1001\r\n\r\n", b"Content-Length: 99999999999\r\n\r\n"):
            assert b"413 Content Too Large\r\n" in client.send(HEAD + length).replace(b"Request Entity", b"Content")
        chunks = (
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"1f4\r\n"
            + bytes(500)
            + b"\r\n"
            + b"1f5\r\n"
            + bytes(501)
            + b"\r\n"
        )
        answer = client.send(HEAD + chunks)
        assert b" 413 " in answer
        assert b"more than 1,000 bytes" in answer
        assert client.ask("POST", "/predict", ONE[:1000], RAW).status == 422


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with serving(make_predictor()) as client:
        answer = client.post(bomb)
        assert (answer.status, answer.error) == (413, "image: 9000x9000 pixels are more than max_pixels, 64000000")
        assert client.post(ONE).status == 200


def test_a_body_that_never_ends_is_given_up() -> None:
    with serving(make_predictor(), seconds=0.2) as client:
        answer = client.send(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        assert b" 408 " in answer
        assert b"the request was not complete after 0.2 seconds" in answer
        assert count_waiting(client) == 0


@pytest.mark.parametrize("start", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"])
def test_connections_without_a_request_are_closed(start: bytes) -> None:
    with serving(make_predictor(), seconds=0.2) as client:
        answer = client.send(start)  # which ends when the server closes
        assert (b" 200 OK" in answer) == (b"\r\n\r\n" in start)


@pytest.mark.parametrize(
    "start", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nA: " + b"a" * 200_000]
)
def test_what_is_no_request_gets_a_sentence(start: bytes) -> None:
    with serving(make_predictor()) as client:
        try:
            answer = client.send(start)
        except ConnectionError:  # closed while the rest of it was still on its way
            assert len(start) > 100_000
        else:
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b'{"error": "this is no valid HTTP request' in answer
        assert client.post(ONE).status == 200


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection from which nobody reads."""
    try:
        connection.send(b"G")
    except ConnectionError:
        return True
    return False


def test_a_client_that_reads_no_answer_is_given_up() -> None:
    with serving(make_predictor(), seconds=0.3) as client:
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2000)  # answers of 30 MB
            wait_until(lambda: is_closed(connection))
        assert client.post(ONE).status == 200


def test_broken_chunks_end_their_connection_alone() -> None:
    with serving(make_predictor()) as client:
        answer = client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nhello\r\n")
        assert b" 400 " in answer
        assert client.post(ONE).status == 200


def test_a_net_that_takes_too_long_is_not_waited_for(stuck: Stuck) -> None:
    with serving(stuck, seconds=0.3) as client:
        stuck.stick()
        answer = client.post(ONE)
        assert (answer.status, answer.error) == (504, "there was no answer in 0.3 seconds: try again later")
        stuck.free.set()
        assert client.post(ONE).status == 200


def test_a_full_queue_says_when_to_come_back(stuck: Stuck) -> None:
    with serving(stuck, queue=2) as client:
        stuck.stick()
        waiting = [in_thread(lambda: client.post(ONE)) for _ in range(2)]
        wait_until(lambda: count_waiting(client) == 2)
        answer = client.post(ONE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "2 requests are waiting" in answer.error
        assert client.ask("GET", "/health").status == 200
        stuck.free.set()
        assert [wait().status for wait in waiting] == [200, 200]
        assert client.post(ONE).status == 200


def test_the_end_waits_for_the_requests_that_run(stuck: Stuck) -> None:
    def is_closed() -> bool:
        try:
            socket.create_connection(("127.0.0.1", client.port)).close()
        except ConnectionRefusedError:
            return True
        return False

    def free_at_the_end() -> None:
        wait_until(is_closed)
        stuck.free.set()

    with serving(stuck) as client:
        stuck.stick()
        last = in_thread(lambda: client.post(ONE))
        wait_until(stuck.begun.is_set)
        freed = in_thread(free_at_the_end)
    freed()
    assert last().status == 200


def test_the_work_of_a_client_that_has_gone_is_dropped(stuck: Stuck) -> None:
    with serving(stuck, Batching(size=1)) as client:
        stuck.stick()
        first = in_thread(lambda: client.post(ONE))
        wait_until(stuck.begun.is_set)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", client.port)) as connection:
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(ONE) + ONE)
                wait_until(lambda: count_waiting(client) == 2)
            wait_until(lambda: count_waiting(client) == 1)
        with socket.create_connection(("127.0.0.1", client.port)) as connection:  # gone before its body has come
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nabc")
            wait_until(lambda: count_waiting(client) == 2)
        wait_until(lambda: count_waiting(client) == 1)
        stuck.free.set()
        assert first().status == 200
        assert stuck.calls == 1
        assert client.post(ONE).status == 200
        assert b'status="gone"} 4.0' in client.ask("GET", "/metrics").content
