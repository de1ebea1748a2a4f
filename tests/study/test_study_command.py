"""Small studies on the sample, through the command line."""

import csv
import os
import signal
import subprocess
import sys
import weakref
from functools import wraps
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from small_runs import Cli

from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import load_predictions
from cnnkit.study.results import format_markdown, read_rows

QUICKSTART = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
STUDY = f"""
question: Which small net learns more from a glance at the sample?
config: {QUICKSTART}
overrides:
  trainer.max_epochs: 1
  trainer.limit_train_batches: 3
  trainer.precision: 32-true
  data.batch_size: 32
  model.net: MLP
factors:
  net:
    narrow: {{model.net.hidden_sizes: [4]}}
    wide: {{model.net.hidden_sizes: [8]}}
seeds: 2
"""
ONE_VARIANT = STUDY.replace("    wide: {model.net.hidden_sizes: [8]}\n", "")
README = "# Which?\n\n<!-- results -->\n<!-- /results -->\n\nThe end.\n"
TIMES = ("train_seconds", "images_per_second")


def make(name: str = "glance", text: str = STUDY) -> Path:
    folder = Path(name)
    folder.mkdir()
    (folder / "study.yaml").write_text(text)
    (folder / "README.md").write_text(README)
    return folder


def without_times(file: Path) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(file)]


def folders() -> list[Path]:
    return sorted(file.parent for file in Path("runs").rglob("config.yaml"))


@pytest.mark.timeout(300)
def test_a_study_runs_once_and_answers(cli: Cli) -> None:
    folder = make()
    ended = cli("study", "glance")
    assert ended.code == 0, ended.err
    rows = read_rows(folder / "results.csv")
    assert [(row["net"], row["seed"]) for row in rows] == [(n, str(s)) for s in range(2) for n in ("narrow", "wide")]
    assert {row["status"] for row in rows} == {"done"}
    assert {row["test_looks"] for row in rows} == {"1"}
    assert [row["parameters"] for row in rows[:2]] == [str(784 * n + n + n * 10 + 10) for n in (4, 8)]
    assert [row["macs"] for row in rows[:2]] == [str(784 * n + n * 10) for n in (4, 8)]
    for place in folders():
        run = RunFolder(place)
        assert load_predictions(run.predictions).accuracy == pytest.approx(run.manifest()["test"]["test/acc"], abs=1e-6)
    readme = (folder / "README.md").read_text()
    assert format_markdown(rows) in readme
    assert readme.endswith("The end.\n")
    assert (folder / "plot.png").stat().st_size > 1000

    before, table = folders(), (folder / "results.csv").read_bytes()
    again = cli("study", "glance")
    assert again.code == 0
    assert "0 of them to do" in again.out
    assert (folders(), (folder / "results.csv").read_bytes()) == (before, table)


def test_a_note_about_several_variants_is_printed_once(cli: Cli) -> None:
    text = STUDY.replace("factors:", "factors:\n  rate: {low: {model.optimizer.lr: 0.01}, high: {}}")
    make(text=text.replace("model.net: MLP", "model.net: MLP\n  model.optimizer: SGD"))
    said = cli("study", "glance", "--dry_run").err
    notes = [line.partition("note: ")[2] for line in said.splitlines() if "note: " in line]
    assert notes
    assert len(set(notes)) == len(notes)


@pytest.mark.slow
def test_nothing_of_a_run_is_kept_when_the_next_one_starts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[weakref.ref[object]] = []
    left: list[int] = []
    for command in ("fit", "test"):
        start = getattr(L.Trainer, command)

        @wraps(start)  # the command line reads its signature
        def note(self: L.Trainer, *objects: Any, _start: Any = start, **kwargs: Any) -> Any:
            left.append(sum(each() is not None for each in used))
            used.extend(map(weakref.ref, (self, *objects)))  # trainer, task, and the data module of a fit
            return _start(self, *objects, **kwargs)

        monkeypatch.setattr(L.Trainer, command, note)
    make()
    assert cli("study", "glance", "--only", "wide").code == 0
    assert len(used) == 2 * (3 + 2)
    assert left == [0, 0, 0, 0]


@pytest.mark.slow
def test_a_part_of_a_study_leaves_its_answer_alone(cli: Cli) -> None:
    folder = make()
    assert cli("study", "glance", "--dry_run").out.count("to do") == 4
    assert not Path("runs").exists()  # nothing was done
    part = cli("study", "glance", "--dry_run", "--limit", "1", "--only", "wide").out
    assert (part.count("to do"), part.count("cnnkit fit")) == (1, 1)
    assert cli("study", "glance", "--seeds", "0,7", "--only", "wide").code == 0
    assert not (folder / "results.csv").exists()
    assert [row["seed"] for row in read_rows(Path("runs/glance/results.csv"))] == ["0", "7"]
    assert cli("study", "glance", "--limit", "1", "--only", "wide").code == 0
    assert len(folders()) == 3  # seed 0 was there
    assert "done      wide, seed 1" in cli("study", "glance", "--dry_run").out


@pytest.mark.slow
def test_a_score_of_averaged_views_stands_beside_the_score_of_one_view(cli: Cli) -> None:
    text = ONE_VARIANT.replace("seeds: 2", "seeds: 1\nmetric: test/acc_tta").replace(
        "model.net: MLP", "model.net: MLP\n  model.tta: flip"
    )
    folder = make(text=text)
    ended = cli("study", "glance")
    assert ended.code == 0
    scores = [RunFolder(place).manifest()["test"] for place in folders()]
    for key in ("test/acc_tta", "test/acc"):
        rows = sorted(float(row[key]) for row in read_rows(folder / "results.csv"))
        assert rows == pytest.approx(sorted(each[key] for each in scores), abs=1e-5)
    assert all(f": {each['test/acc_tta']:.2%} in " in ended.out for each in scores)


def test_a_run_that_fails_is_a_row_and_the_others_go_on(cli: Cli) -> None:
    Path("fragile.py").write_text(
        "from cnnkit import ClassificationTask\n"
        "class Fragile(ClassificationTask):\n"
        "    def compute_loss(self, batch):\n"
        "        raise RuntimeError('it broke')\n"
    )
    text = STUDY.replace("wide: {", "wide: {model: fragile.Fragile, ").replace("seeds: 2", "seeds: 1")
    folder = make(text=text)
    ended = cli("study", "glance")
    assert ended.code == 1
    reason = "fragile.py, line 4: RuntimeError: it broke"
    assert f"failed: wide, seed 0: {reason}" in ended.err
    rows = read_rows(folder / "results.csv")
    assert [(row["status"], row["reason"]) for row in rows] == [("done", ""), ("failed", reason)]
    assert "none" in (folder / "table.md").read_text()


def test_what_is_wrong_is_said_before_anything_runs(cli: Cli) -> None:
    make(text=STUDY.replace("wide: {model.net.hidden_sizes", "wide: {model.net.hiden_sizes"))
    ended = cli("study", "glance")
    assert ended.code == 2
    assert "variant wide" in ended.err
    assert "hiden_sizes" in ended.err
    assert not folders()
    assert cli("study", "elsewhere").code == 2
    assert "there is no level 'tall'" in cli("study", "glance", "--only", "tall").err


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
def test_a_study_that_was_killed_ends_with_the_same_results(cli: Cli) -> None:
    killed, calm = make("killed", ONE_VARIANT), make("calm", ONE_VARIANT)
    command = [sys.executable, "-u", "-m", "cnnkit", "study", "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("[1/2]"))
        process.send_signal(signal.SIGKILL)  # in the middle of the second run, or before its start
    assert not (killed / "results.csv").exists()
    assert cli("study", "killed").code == 0
    assert cli("study", "calm").code == 0
    assert without_times(killed / "results.csv") == without_times(calm / "results.csv")


@pytest.mark.slow
def test_runs_side_by_side_come_to_the_same(cli: Cli) -> None:
    text = STUDY.replace("seeds: 2", "seeds: 1")
    one, two = make("one", text), make("two", text)
    assert cli("study", "one").code == 0
    assert cli("study", "two", "--jobs", "2").code == 0
    scores = [[float(row["test/acc"]) for row in csv.DictReader((f / "results.csv").open())] for f in (one, two)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with signals")
def test_a_signal_to_a_study_reaches_the_runs_beside_each_other(cli: Cli) -> None:
    text = STUDY.replace("max_epochs: 1", "max_epochs: 5000")
    make("signalled", text)
    command = [sys.executable, "-u", "-m", "cnnkit", "study", "signalled", "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while len(list(Path("runs/signalled").glob("*/*/checkpoints/last.ckpt"))) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)  # to the study alone
        _, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped; go on with: cnnkit study signalled --jobs 2" in said
    runs = [RunFolder(file.parent) for file in Path("runs/signalled").glob("*/*/manifest.json")]
    assert {run.manifest()["status"] for run in runs} == {"stopped"}


@pytest.mark.slow
def test_a_study_over_folds_has_one_line_with_the_mean_of_the_folds(cli: Cli) -> None:
    text = STUDY.split("factors:")[0] + "  model.net.hidden_sizes: [4]\nfolds: 2\nmetric: val/acc\n"
    folder = make("folds", text)
    ended = cli("study", "folds")
    assert ended.code == 0, ended.err
    rows = read_rows(folder / "results.csv")
    assert [(row["seed"], row["fold"]) for row in rows] == [("0", "0"), ("0", "1")]
    assert len({row["split"] for row in rows}) == 2
    mean = sum(float(row["val/acc"]) for row in rows) / 2
    page = (folder / "README.md").read_text()
    assert f"{100 * mean:.2f} ±" in page
    assert "The training images of the 2 folds overlap" in page
