"""Runs of version 0.1.0, as it was before modules moved, still test, resume, compare and predict."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from small_runs import Cli

OLD = Path(__file__).parents[1] / "support" / "old_runs"
Cli = Cli


@pytest.fixture
def old_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished runs of two seeds, and one that was killed in its second epoch of three."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(OLD, "runs/tiny")
    return tmp_path / "runs" / "tiny"


def epochs(run: Path, key: str) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[key]) for row in csv.DictReader(file) if row[key]]


def test_a_finished_run_has_the_scores_that_it_had(cli: Cli, old_runs: Path) -> None:
    before = json.loads((old_runs / "finished-0/manifest.json").read_text())["test"]
    assert cli("test", "--run", "runs/tiny/finished-0").code == 0
    after = json.loads((old_runs / "finished-0/manifest.json").read_text())["test"]
    assert after["test/acc"] == pytest.approx(before["test/acc"], abs=0.002)
    assert after["test/loss"] == pytest.approx(before["test/loss"], rel=1e-3)


@pytest.mark.slow
def test_a_killed_run_goes_on_as_the_one_that_was_not_killed(cli: Cli, old_runs: Path) -> None:
    assert cli("fit", "--resume", "runs/tiny/killed").code == 0
    for key in ("train/loss", "val/loss", "val/acc"):
        whole = epochs(old_runs / "finished-0", key)
        assert len(whole) == 3
        assert epochs(old_runs / "killed", key)[-2:] == pytest.approx(whole[1:], rel=2e-3)


def test_runs_are_listed_compared_and_predict(cli: Cli, old_runs: Path) -> None:
    listed = cli("runs", "--json")
    assert {Path(run["run"]).name for run in json.loads(listed.out)} >= {"finished-0", "finished-1"}
    compared = cli("compare", "runs/tiny/finished-0", "runs/tiny/finished-1")
    assert compared.code == 0, compared.err
    assert "71.30" in compared.out
    assert "66.90" in compared.out
    picture = OLD.parents[2] / "docs" / "images" / "explain.png"
    assert cli("predict", "--run", "runs/tiny/finished-0", "--images", str(picture)).code == 0
