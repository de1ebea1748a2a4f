"""A fit says when a second thread brings little, and the measurement changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SMALL
from torch import nn

from cnnkit.cli.fit import thread_gain, threads
from cnnkit.cli.fit.command import run_command
from cnnkit.runs import find
from cnnkit.threads import THREAD_VARIABLES, Usage


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    before = torch.get_num_threads()
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "measure_others", lambda before: 0.0)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fit_weights(*words: str, started: Usage | None) -> dict[str, torch.Tensor]:
    assert run_command("fit", [*SMALL, *words], began=0.0, cores_before=started) == 0
    checkpoint = find("runs").path / "checkpoints" / "last.ckpt"
    return torch.load(checkpoint, weights_only=True)["state_dict"]  # type: ignore[no-any-return]


@pytest.mark.usefixtures("two_threads")
def test_a_fit_measures_its_threads_and_trains_the_same_weights(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dropout = "--model.net.dropout=0.5"  # draws random numbers in the measured steps too
    monkeypatch.setattr(thread_gain, "LITTLE", float("inf"))  # whatever this machine measures
    monkeypatch.setattr(thread_gain, "LONGEST", float("inf"))
    measured = fit_weights(dropout, started=Usage(0.0, 0.0, 0.0))
    assert "2 threads train this net" in capfd.readouterr().err
    assert torch.get_num_threads() == 2
    not_measured = fit_weights(dropout, started=None)
    assert "threads train" not in capfd.readouterr().err
    assert measured.keys() == not_measured.keys()
    assert all(torch.equal(measured[name], not_measured[name]) for name in measured)


@pytest.mark.parametrize(("together", "says"), [(0.006, True), (0.0042, True), (0.0025, False)])
def test_only_a_small_gain_is_said(
    together: float, says: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(thread_gain, "measure_step", lambda *args: {2: together, 1: 0.0046})
    data = type("Data", (), {"batch_size": 4, "shape": {"in_channels": 1, "image_size": (4, 5)}})()
    thread_gain.say_if_threads_bring_little(nn.Conv2d(1, 2, 3), data, "32-true")
    assert ("times as fast as one" in capfd.readouterr().err) == says


def test_a_net_with_long_steps_is_not_measured_with_a_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return images.flatten(1).sum(1, keepdim=True) * self.weight

    monkeypatch.setattr(thread_gain, "LONGEST", 0.0)
    assert thread_gain.measure_step(Slow(), torch.zeros(64, 1, 2, 2), "32-true", (2, 1)) == {}
    assert seen == [2, 2]


@pytest.mark.parametrize("result", [(torch.zeros(4, 2), None), torch.zeros(4), "logits"])
def test_a_net_that_only_its_task_can_call_is_left_to_the_task(
    result: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Own(nn.Linear):
        def forward(self, *args: Any) -> Any:
            return result

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    data = type("Data", (), {"batch_size": 4, "shape": {"in_channels": 1, "image_size": 5}})()
    thread_gain.say_if_threads_bring_little(Own(2, 2), data, "32-true")
    assert capfd.readouterr().err == ""
