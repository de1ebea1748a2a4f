import json
import os
import signal
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from cnnkit.errors import UserError
from cnnkit.runs import RunFolder, create, find_writer, hold_writer_lock, refuse_if_written


def hold(path: str, ready: Any, leave: Any) -> None:
    with hold_writer_lock(Path(path), "fit --resume x"):
        ready.set()
        leave.wait(60)


def look(path: str, times: int) -> None:
    for _ in range(times):
        with RunFolder(Path(path)).edit_manifest() as manifest:
            manifest["looks"] = manifest.get("looks", 0) + 1


def test_a_second_writer_is_refused_by_name_until_the_first_is_gone_however_it_goes(tmp_path: Path) -> None:
    context = get_context("fork")
    ready, leave = context.Event(), context.Event()
    child = context.Process(target=hold, args=(str(tmp_path), ready, leave))
    child.start()
    assert ready.wait(60)
    told = rf"process {child.pid} on .+ \(fit --resume x\)"
    with pytest.raises(UserError, match=told), hold_writer_lock(tmp_path, "fit"):
        pass
    with pytest.raises(UserError, match=told):
        refuse_if_written(tmp_path)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert (tmp_path / ".writer.json").exists()  # it had no time to take its name away
    assert find_writer(tmp_path) is None
    refuse_if_written(tmp_path)
    with hold_writer_lock(tmp_path, "fit"):
        assert json.loads((tmp_path / ".writer.json").read_text())["pid"] == os.getpid()
        assert str(find_writer(tmp_path)).startswith(f"process {os.getpid()} on")
    assert not (tmp_path / ".writer.json").exists()


def test_a_child_of_the_writer_does_not_keep_its_lock(tmp_path: Path) -> None:
    """The loader's workers live on for seconds after their parent was killed."""
    context = get_context("fork")
    leave = context.Event()
    with hold_writer_lock(tmp_path, "fit"):
        child = context.Process(target=leave.wait, args=(60,))
        child.start()
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert find_writer(tmp_path) is None
    leave.set()
    child.join()
    other.communicate(b"\n")


def test_the_next_writer_sweeps_what_killed_ones_have_left_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "checkpoints").mkdir()
    swept = [tmp_path / f".metrics.csv.{gone.pid}.tmp", tmp_path / "checkpoints" / f".last.ckpt.{gone.pid}.tmp"]
    kept = [tmp_path / f".manifest.json.{os.getppid()}.tmp", tmp_path / "notes.tmp", tmp_path / ".mine.tmp"]
    for file in swept + kept:
        file.write_text("x")
    with hold_writer_lock(tmp_path, "fit"):
        assert [file.exists() for file in swept + kept] == [False, False, True, True, True]


def test_counting_at_once_loses_no_count(tmp_path: Path) -> None:
    run = create(tmp_path, "a")
    children = [get_context("fork").Process(target=look, args=(str(run.path), 20)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert run.manifest() == {"looks": 80}


def test_a_folder_that_is_not_ours_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    def deny(self: Any, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", deny)
    with pytest.raises(UserError, match=r"cannot be written to \(Permission denied\)"), hold_writer_lock(tmp_path, "f"):
        pass


def test_a_manifest_full_of_garbage_is_set_aside_when_something_is_entered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    for garbage in (b"\xff\x00\x01", b'{"a": ', b"[1, 2]", b'"text"'):
        run.manifest_file.write_bytes(garbage)
        run.update_manifest(b=1)
        assert run.manifest() == {"b": 1}
        assert (tmp_path / "manifest.json.damaged").read_bytes() == garbage
        assert "kept as manifest.json.damaged" in capsys.readouterr().err
