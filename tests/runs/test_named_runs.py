"""Which run of several a name stands for, with the clock as it may be."""

import os
import time
from pathlib import Path

import pytest
from fake_runs import fake_run

from cnnkit.errors import UserError
from cnnkit.runs import RunFolder, choose_finished, choose_resumable, create, find, hold_writer_lock
from cnnkit.weights import read_weights


def make(path: str, status: str | None = "finished", *, checkpoint: bool = False) -> Path:
    folder = fake_run(path, status=status)
    if checkpoint:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints/last.ckpt").write_bytes(b"x")
    return folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_name_is_its_newest_finished_run_and_the_line_says_what_was_passed_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, status in enumerate(["finished", "finished", "stopped", "running", None, "failed"]):
        make(f"runs/a/2026010{number + 1}-120000-0000", status, checkpoint=status == "stopped")
    (Path("runs/a/20260107-120000-0000")).mkdir()
    (Path("runs/a/20260107-120000-0000/config.yaml")).write_text("")
    (Path("runs/a/20260107-120000-0000/manifest.json")).write_text("[")
    for name in ("runs/a", "a"):
        assert choose_finished(name).path.name == "20260102-120000-0000"
        assert capsys.readouterr().err == (
            "run: runs/a/20260102-120000-0000; passed over, newer: "
            "20260107-120000-0000 (manifest.json cannot be read), 20260106-120000-0000 (failed), "
            "20260105-120000-0000 (not started), 20260104-120000-0000 (killed), 20260103-120000-0000 (stopped)\n"
        )
    assert choose_resumable("a").path.name == "20260103-120000-0000"
    assert "20260104-120000-0000 (killed, without a checkpoint)" in capsys.readouterr().err


def test_a_run_folder_is_taken_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    make("runs/a/1", "failed")
    make("runs/a/2")
    assert choose_finished("runs/a/1").path == choose_resumable("runs/a/1").path == Path("runs/a/1")
    assert capsys.readouterr().err == ""


def test_a_run_that_is_under_way_is_not_passed_over_by_a_resume() -> None:
    make("runs/a/20260101-120000-0000", checkpoint=True)
    newest = make("runs/a/20260102-120000-0000", "running")
    with hold_writer_lock(newest, "fit"):
        assert choose_resumable("a").path == newest
    assert choose_resumable("a").path != newest


def test_runs_of_a_study_are_not_mixed_up() -> None:
    make("runs/study/a/1")
    make("runs/study/b/1")
    with pytest.raises(UserError, match="runs/study: holds runs of 2 names; name one of them: runs/study/a, runs/stu"):
        choose_finished("runs/study")
    with pytest.raises(UserError, match="holds runs of 2 names"):
        read_weights("runs/study")
    assert choose_finished("runs/study/b").path == Path("runs/study/b/1")


def test_none_that_serves_is_told_with_the_newest() -> None:
    make("runs/a/20260101-120000-0000", "stopped")
    with pytest.raises(
        UserError, match=r"none of its 1 runs is finished; the newest is .*-0000 \(stopped\); name a run"
    ):
        choose_finished("runs/a")
    with pytest.raises(UserError, match="none of its 1 runs is resumable"):
        choose_resumable("runs/a")


def test_the_newest_is_found_whatever_the_clock_and_the_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(["20260601-120000", "20260601-110000", "20260601-110000", "20260101-000000"])
    real = time.strftime  # datetime formats with it, too, and says of which moment
    now = lambda form, *moment: real(form, *moment) if moment else next(moments)  # noqa: E731
    monkeypatch.setattr(time, "strftime", now)  # set back by an hour, then by months
    made = [create("runs", "a") for _ in range(4)]
    assert [run.path.name[:15] for run in made] == [f"20260601-12000{number}" for number in range(4)]
    for age, run in enumerate(made):
        run.config.write_text("")
        run.update_manifest(status="finished")
        os.utime(run.config, (1_700_000_000 - age,) * 2)
    assert find("runs/a").path == made[3].path
    made[0].update_manifest(resumes=[{"started": "2026-06-03T00:00:00+00:00"}])  # what was resumed is newer
    assert choose_finished("a").path == made[0].path


def test_old_records_without_dates_are_no_trap() -> None:
    run = RunFolder(make("runs/a/mine"))
    run.update_manifest(started="yesterday", resumes=[3])
    assert choose_finished("a").path == run.path
    run.update_manifest(started=None, resumes={"a": 1})
    assert find("runs").path == run.path
