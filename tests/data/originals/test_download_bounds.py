"""Downloads from servers that behave, and from such that do not."""

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cnnkit.data.originals.download import TIMEOUT, download, fetch, open_within
from cnnkit.errors import UserError

CONTENT = b"content of a file"
DONE = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        getattr(self, f"send_{self.path[1:]}")()

    def send_file(self, claimed: int | None = len(CONTENT), content: bytes = CONTENT) -> None:
        self.send_response(200)
        if claimed is not None:
            self.send_header("Content-Length", str(claimed))
        self.end_headers()
        self.wfile.write(content)

    def send_cut(self) -> None:
        self.send_file(content=CONTENT[:-1])

    def send_long(self) -> None:
        self.send_file(10**12)

    def send_endless(self) -> None:
        self.send_file(None)
        try:
            while not DONE.is_set():
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    def send_drips(self) -> None:
        self.send_file(10**6, b"")
        try:
            while not DONE.is_set():
                self.wfile.write(b"x")
        except OSError:
            pass

    def send_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        DONE.wait()

    def send_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/file")
        self.end_headers()

    def send_local(self) -> None:
        self.send_response(302)
        self.send_header("Location", "file:///etc/hostname")
        self.end_headers()

    def send_loop(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        DONE.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("kind", ["file", "redirect"])
def test_content_is_brought(address: str, kind: str, tmp_path: Path) -> None:
    download(f"{address}/{kind}", tmp_path / "a", len(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cut", r"IncompleteRead|cut short: 16 of 17"),
        ("long", "claims 1,000,000,000,000 bytes where at most 1,000,000"),
        ("endless", "more than the 1,000,000 bytes"),
        ("drips", r"too slow: [\d,]+ bytes in \d+ s"),
        ("local", "not allowed"),
        ("loop", "redirect"),
    ],
)
def test_servers_are_stopped_at_the_bound(address: str, kind: str, reason: str, tmp_path: Path) -> None:
    minutes = itertools.count(0, 25.0)  # each look at the clock finds that much gone
    with pytest.raises(Exception, match=reason):
        download(f"{address}/{kind}", tmp_path / "a", 10**6, clock=lambda: next(minutes) if kind == "drips" else 0.0)
    with pytest.raises(UserError, match=r"Could not download a from 127\.0\.0\.1") as caught:
        fetch([f"{address}/local"], tmp_path / "sub/a", lambda _: None, sleep=lambda _: None)
    assert len(str(caught.value).splitlines()) <= 3
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_head_that_never_ends_is_given_up(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        open_within(f"{address}/head", 0.05)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:text/plain,a"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unknown url type"):
        download(url, tmp_path / "a", 10)
    assert not (tmp_path / "a").exists()
    assert TIMEOUT == 30
