import multiprocessing
import os
from http.client import IncompleteRead
from pathlib import Path

import pytest

from cnnkit.data.originals.download import fetch, lock
from cnnkit.errors import UserError

URLS = ["https://one.example/file", "http://two.example/file"]


class Server:
    """Delivers each of the given things in turn: bytes, or an error half-way through; the last one for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers, self.asked, self.pauses = list(answers), list[str](), list[float]()

    def transfer(self, url: str, path: Path) -> None:
        self.asked.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        path.write_bytes(b"go" if isinstance(answer, Exception) else answer)
        if isinstance(answer, Exception):
            raise answer

    def fetch(self, target: Path) -> None:
        fetch(URLS, target, verify, transfer=self.transfer, sleep=self.pauses.append)


def verify(path: Path) -> None:
    if path.read_bytes() != b"good":
        raise ValueError("wrong content")


def test_second_address_and_later_tries_are_used_with_growing_pauses(tmp_path: Path) -> None:
    server = Server(TimeoutError("slow"), b"bad", ConnectionResetError("cut"), b"goo", b"good")
    server.fetch(tmp_path / "deep" / "file")
    assert (tmp_path / "deep" / "file").read_bytes() == b"good"
    assert server.asked == [*URLS, *URLS, URLS[0]]
    assert server.pauses == [1, 2]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


@pytest.mark.parametrize(
    "answer",
    [
        b"bad",
        TimeoutError("timed out"),
        OSError(28, "No space left"),
        IncompleteRead(b"go", 2),
        RecursionError("exceeded 3 redirects"),
    ],
)
def test_failure_leaves_nothing_and_tells_the_last_reason(tmp_path: Path, answer: bytes | Exception) -> None:
    server = Server(answer)
    reason = r"file from one\.example, two\.example: .*(wrong|timed|space|IncompleteRead|redirects)"
    with pytest.raises(UserError, match=reason) as caught:
        server.fetch(tmp_path / "file")
    assert len(str(caught.value).splitlines()) <= 3
    assert len(server.asked) == 6
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(UserError):
        Server(b"bad").fetch(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_interrupt_leaves_nothing_and_is_not_swallowed(tmp_path: Path) -> None:
    def transfer(url: str, path: Path) -> None:
        path.write_bytes(b"go")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(URLS, tmp_path / "file", verify, transfer=transfer)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_download_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".part-dead").mkdir()
    (tmp_path / ".part-dead" / "file").write_bytes(b"go")
    Server(b"good").fetch(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _die_holding(path: Path) -> None:
    with lock(path, "dies"):
        os._exit(9)


def test_dead_process_leaves_nothing_locked(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_die_holding, args=(tmp_path / "lock",))
    process.start()
    process.join()
    assert process.exitcode == 9
    with lock(tmp_path / "lock", "works"):
        pass


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"Cannot write to .*file/sub.*data_dir.*mirror"),
        lock(tmp_path / "file/sub/lock", "works"),
    ):
        pass
