"""A run has the threads that others leave free at its start, and keeps their number."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_runs import SMALL

from cnnkit.cli.cores import watch_cores
from cnnkit.cli.fit import session, threads
from cnnkit.cli.fit.command import run_command
from cnnkit.cli.inference import move_to_accelerator
from cnnkit.runs import RunFolder, find
from cnnkit.threads import THREAD_VARIABLES, Usage


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """Two threads by default on two cores, one of which others use, and no wish of the user's."""
    before = torch.get_num_threads()
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "measure_others", lambda before: 1.0)
    monkeypatch.setattr(threads, "count_cores", lambda: 2)
    monkeypatch.setattr("cnnkit.threads.read_quota", lambda: None)
    monkeypatch.setattr(session, "say_if_threads_bring_little", lambda *args: None)  # measures time
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2  # the next command in this process has its own choice
    torch.set_num_threads(before)


START = Usage(0.0, 0.0, 0.0)


@pytest.mark.usefixtures("two_threads")
def test_a_command_that_trains_nothing_leaves_a_busy_core_alone(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with watch_cores(START):
        move_to_accelerator(torch.nn.ReLU())
        assert torch.get_num_threads() == (2 if torch.accelerator.is_available() else 1)
        move_to_accelerator(torch.nn.ReLU())
    assert capfd.readouterr().err.count("threads 1 of 2: other processes use 1.0 core") <= 1
    with watch_cores(None):
        move_to_accelerator(torch.nn.ReLU())
        assert torch.get_num_threads() == 2, "a program with torch decides itself"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with watch_cores(START):
        move_to_accelerator(torch.nn.ReLU())
        assert torch.get_num_threads() == 2


def fit(*words: str, started: Usage | None = START) -> dict[str, Any]:
    assert run_command("fit", [*words], began=0.0, cores_before=started) == 0
    return RunFolder(find("runs").path).manifest()


@pytest.mark.usefixtures("two_threads")
def test_a_busy_neighbor_leaves_one_thread_which_is_said_recorded_and_kept_by_a_resume(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = fit(*SMALL)
    assert "threads 1 of 2: other processes use 1.0 core; OMP_NUM_THREADS=2 decides otherwise" in capfd.readouterr().err
    assert (manifest["machine"]["threads"], manifest["machine"]["cores_used_by_others"]) == (1, 1.0)

    monkeypatch.setattr(threads, "measure_others", lambda before: 0.0)  # the neighbor has gone
    longer = ("--resume", str(find("runs").path), "--trainer.max_epochs=2")
    manifest = fit(*longer)
    assert "threads 1 of 2, as" in capfd.readouterr().err
    assert "machine.threads" not in manifest["resumes"][-1]["changes"]

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    manifest = fit(*longer[:2], "--trainer.max_epochs=3")
    assert "had 1: from here on its numbers are not those of a run without a stop" in capfd.readouterr().err
    assert manifest["resumes"][-1]["changes"]["machine.threads"] == [1, 2]
    assert threads.read_threads(RunFolder(find("runs").path)) == 2  # what the next resume takes


@pytest.mark.usefixtures("two_threads")
def test_the_quota_of_a_container_bounds_the_threads(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnkit.threads.read_quota", lambda: 1.2)
    monkeypatch.setattr(threads, "measure_others", lambda before: 0.0)
    manifest = fit(*SMALL)
    assert "threads 1 of 2: this container may use no more cores; OMP_NUM_THREADS=2" in capfd.readouterr().err
    assert (manifest["machine"]["threads"], manifest["machine"]["cores_of_quota"]) == (1, 1)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("case", ["said by the user", "in a program of the user's", "nobody else"])
def test_otherwise_all_threads_compute(
    case: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "said by the user":
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
    if case == "nobody else":
        monkeypatch.setattr(threads, "measure_others", lambda before: 0.1)
    manifest = fit(*SMALL, started=None if "program" in case else START)
    assert manifest["machine"]["threads"] == 2
    assert "cores_used_by_others" not in manifest["machine"]
    assert "threads 1" not in capfd.readouterr().err
