import io
import multiprocessing
import os
from pathlib import Path

import pytest

from cnnkit.data.download import fetch, lock
from cnnkit.errors import UserError

URLS = ["https://one.example/file", "http://two.example/file"]


class Server:
    """Answers with each of the given things in turn: bytes, or an error to raise; the last one for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers, self.asked, self.pauses = list(answers), list[str](), list[float]()

    def open_url(self, url: str) -> io.BytesIO:
        self.asked.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    def fetch(self, target: Path) -> None:
        fetch(URLS, target, verify, max_bytes=100, open_url=self.open_url, sleep=self.pauses.append)


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


@pytest.mark.parametrize("answer", [b"bad", b"x" * 101, TimeoutError("timed out"), OSError(28, "No space left")])
def test_failure_leaves_nothing_and_tells_the_last_reason(tmp_path: Path, answer: bytes | Exception) -> None:
    server = Server(answer)
    with pytest.raises(
        UserError, match=r"file from one\.example, two\.example: .*(wrong|longer|timed|space)"
    ) as caught:
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
    def open_url(url: str) -> io.BytesIO:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(URLS, tmp_path / "file", verify, max_bytes=100, open_url=open_url)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_download_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".part-dead").mkdir()
    (tmp_path / ".part-dead" / "file").write_bytes(b"go")
    Server(b"good").fetch(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _die_holding(path: Path) -> None:
    with lock(path):
        os._exit(9)


def test_dead_process_leaves_nothing_locked(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_die_holding, args=(tmp_path / "lock",))
    process.start()
    process.join()
    assert process.exitcode == 9
    with lock(tmp_path / "lock"):
        pass


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"Cannot write to .*file/sub.*data_dir.*mirror"),
        lock(tmp_path / "file/sub/lock"),
    ):
        pass
