"""Outputs and folders that fail while a command works: it finishes where it can, and says what could not be written."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL, Cli

from cnnkit.cli import main
from cnnkit.cli.errors.exit_codes import keep_streams_open
from cnnkit.runs import RunFolder, find, hold_writer_lock


@pytest.fixture
def run(cli: Cli, trained_once: RunFolder) -> RunFolder:
    shutil.copytree(trained_once.path, "runs/a/1")
    return RunFolder(Path("runs/a/1"))


def deny(monkeypatch: pytest.MonkeyPatch, *names: str, error: int = errno.EACCES) -> None:
    """Files whose temporary ones cannot be opened, as in a folder that is read-only or another user's."""
    real = Path.open

    def open_or_fail(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "w" in mode and any(name in self.name for name in names):
            raise OSError(error, os.strerror(error), str(self))
        return real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_or_fail)


def test_training_finishes_when_its_records_cannot_be_written(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    deny(monkeypatch, "metrics.csv", "manifest.json", error=errno.EROFS)
    ended = cli("fit", *SMALL, "--trainer.max_epochs=2")
    assert ended.code == 4
    assert ended.err.count("metrics.csv: cannot be written (Read-only file system)") == 1
    assert ended.err.count("manifest.json: cannot be written (Read-only file system)") == 1
    assert "test it" in ended.out
    run = find("runs")
    assert run.last.exists()
    monkeypatch.undo()


def test_scores_are_printed_when_they_cannot_be_recorded(
    cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.manifest()
    deny(monkeypatch, "manifest.json", "predictions")
    ended = cli("test", "--run", "runs/a")
    assert ended.code == 4
    assert "test/acc" in ended.out
    assert "the test scores above are not recorded" in ended.err
    assert run.manifest() == before


def test_a_run_folder_that_is_removed_while_training_is_made_again(cli: Cli) -> None:
    Path("removing.py").write_text(
        "import shutil\n"
        "from lightning.pytorch.callbacks import Callback\n"
        "class Remove(Callback):\n"
        "    def on_train_batch_end(self, trainer, *args):\n"
        "        if trainer.global_step == 4:\n"
        "            shutil.rmtree('runs')\n"
    )
    ended = cli("fit", *SMALL, "--trainer.max_epochs=2", '--trainer.callbacks=[{"class_path": "removing.Remove"}]')
    assert ended.code == 4, ended.err  # the events are lost
    assert "events.out.tfevents: cannot be written" in ended.err
    run = find("runs")
    assert run.last.exists()
    assert run.manifest()["status"] == "finished"
    assert run.manifest()["net"]["class"] == "CNN"
    assert len(run.metrics.read_text().splitlines()) == 3
    assert cli("validate", "--run", str(run)).code == 0


def test_garbage_in_the_records_of_a_run_does_not_end_its_resume(cli: Cli, run: RunFolder) -> None:
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    run.metrics.write_bytes(b"".join([*lines[:3], b"\xff\x00,,\n", *lines[3:]]))
    run.manifest_file.write_bytes(b'{"status": "fini')
    ended = cli("fit", "--resume", "runs/a/1", "--trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    assert "1 lines are no rows of numbers; kept as metrics.csv.damaged" in ended.err
    assert "kept as manifest.json.damaged" in ended.err
    assert len(run.metrics.read_bytes().splitlines()) > len(lines)
    assert run.manifest()["status"] == "finished"
    run.metrics.write_text("a,b\n1,2\n")
    run.manifest_file.write_text("[]")
    assert cli("test", "--run", "runs/a/1").code == 0
    assert "test" in run.manifest()


def test_who_trains_in_a_folder_is_named_to_those_who_would_write_there(cli: Cli, run: RunFolder) -> None:
    with hold_writer_lock(run.path, "fit --resume"):
        for words in (["fit", "--resume", "runs/a"], ["test", "--run", "runs/a"], ["predict", "--run", "runs/a"]):
            ended = cli(*words)
            assert ended.code == 2
            assert f"runs/a/1: process {os.getpid()} on " in ended.err
        assert cli("test", "--run", "runs/a", "--trainer.limit_test_batches=1").code == 0  # writes nothing
    assert cli("test", "--run", "runs/a").code == 0


class Failing:
    """A stream that takes so many writes."""

    encoding = "utf-8"

    def __init__(self, error: int, after: int = 0) -> None:
        self.error, self.left = error, after

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.error, os.strerror(self.error))
        return len(text)

    def flush(self) -> None:
        self.write("")

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "no descriptor")


@pytest.mark.parametrize(("error", "code"), [(errno.EPIPE, 0), (errno.ENOSPC, 4)])
def test_scoring_is_recorded_when_nobody_takes_its_output(
    cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch, error: int, code: int
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(error))
    assert main(["test", "--run", "runs/a"]) == code
    assert "test/acc" in run.manifest()["test"]


def test_the_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr
    with keep_streams_open():
        print("x")
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.slow
def test_a_fit_whose_output_nobody_reads_trains_to_its_end(cli: Cli) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    without_errors = ["sh", "-c", 'exec "$0" "$@" 2>&-']  # no descriptor 2, and a pipe without a reader as 1
    command = [*without_errors, sys.executable, "-m", "cnnkit", "fit", *SMALL, "--name=piped"]
    done = subprocess.run(command, stdout=writing, timeout=120, check=False)
    os.close(writing)
    assert done.returncode == 0
    run = find("runs/piped")
    assert run.manifest()["status"] == "finished"
    assert b"\x00" not in run.metrics.read_bytes()
