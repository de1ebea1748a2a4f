"""A clock that is set back between a run and its resume, or within one, folds no curve."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnkit.cli.fit.provenance import read_git_state
from cnnkit.loggers import TensorBoard, rename_future_events


def write(folder: Path, steps: range, resume_step: int | None) -> None:
    logger = TensorBoard(folder, resume_step)
    for step in steps:
        logger.log_metrics({"loss": float(step)}, step)
    logger.finalize("success")


def test_a_resume_is_read_after_what_it_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    write(tmp_path, range(8), None)
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    write(tmp_path, range(5, 10), 5)
    monkeypatch.setattr(time, "time", lambda: real() - 2 * 86_400)
    write(tmp_path, range(9, 12), 9)
    monkeypatch.undo()
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [event.step for event in events] == list(range(12))
    assert [event.value for event in events] == list(range(12))
    walls = [event.wall_time for event in events]
    assert walls == sorted(walls)


def test_a_clock_set_back_while_training_does_not_turn_time_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, behind = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() - behind[0])
    logger = TensorBoard(tmp_path)
    for step in range(4):
        behind[0] = 3600.0 * step
        logger.log_metrics({"loss": 1.0}, step)
    logger.finalize("success")
    monkeypatch.undo()
    walls = [event.wall_time for event in EventAccumulator(str(tmp_path)).Reload().Scalars("loss")]
    assert walls == sorted(walls)


def test_files_of_the_past_keep_their_names(tmp_path: Path) -> None:
    names = ["events.out.tfevents.100.a.1.0", "events.out.tfevents.200.a.2.0", "events.out.tfevents.odd"]
    for name in names:
        (tmp_path / name).write_text("")
    assert rename_future_events(tmp_path) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_the_commit_of_the_working_folder_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_git_state() is None

    def git(*words: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        hooks = ["-c", f"core.hooksPath={os.devnull}"]
        return subprocess.run(
            ["git", *names, *hooks, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    assert read_git_state() == {"commit": None, "changed": False}
    Path("net.py").write_text("1")
    git("add", "net.py")
    git("commit", "-qm", "x")
    commit = git("rev-parse", "HEAD")
    Path("data.bin").write_text("git does not follow it")
    assert read_git_state() == {"commit": commit, "changed": False}
    Path("net.py").write_text("2")
    assert read_git_state() == {"commit": commit, "changed": True}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_git_state() is None
