"""A word is a number where a number is due, a name where a name is due: in files, on the command line, in studies."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import SMALL, Cli

from cnnkit.cli.parsing.build import build_from_config
from cnnkit.runs import find

NAMES = ["1e3", "7e12345", "null", "0123", "true", "no", "1_000", "2026-11-25", "0x10", "1.5", "inf"]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_can_have_any_name_and_be_tested(cli: Cli, name: str) -> None:
    short = ["--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1", "--data.num_workers=0"]
    ended = cli("fit", *SMALL, *short, "--name", name)
    assert ended.code == 0, ended.err
    run = find(f"runs/{name}")
    assert yaml.safe_load(run.config.read_text())["name"] == name
    again = build_from_config(["--config", str(run.config)])  # what `test`, `predict` and a resume read
    assert again.config["name"] == name


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        *(("1e-3", "model.optimizer.lr", 1e-3), ("1E-3", "model.optimizer.lr", 1e-3), ("1", "model.optimizer.lr", 1.0)),
        *(("1e1", "data.batch_size", 10), ("32.0", "data.batch_size", 32), ("1_0", "data.batch_size", 10)),
        *(("yes", "data.drop_last", True), ("Off", "data.drop_last", False), ("1", "data.drop_last", True)),
        *(("1", "trainer.limit_train_batches", 1), ("1.0", "trainer.limit_train_batches", 1.0)),  # one batch, all
        *(("1e3", "data.data_dir", "1e3"), ("no", "data.data_dir", "no"), ("null", "data.data_dir", None)),
        *(("00:00:01:00", "trainer.max_time", "00:00:01:00"), ("none", "model.net.norm", "none")),
        *(("[1e1,8.0]", "model.net.channels", [10, 8]), ("[1e-1, .9]", "model.optimizer.betas", [0.1, 0.9])),
    ],
)
def test_in_files_and_on_the_command_line_alike(tmp_path: Path, word: str, key: str, value: Any) -> None:
    file = tmp_path / "c.yaml"
    parts = key.split(".")
    nested = word
    for part in reversed(parts):
        inside = f"{{init_args: {nested}}}" if part in ("model", "data", "net", "optimizer") else nested
        nested = f"{{{part}: {inside}}}"
    file.write_text(nested)
    for words in ([f"--{key}={word}"], ["--config", str(file)]):
        place: Any = build_from_config(words).config
        for part in parts:
            place = place.get("init_args", place)[part]
        assert (place, type(place)) == (value, type(value))


@pytest.mark.slow
def test_a_study_whose_factor_is_a_number_is_trained_tested_and_compared(cli: Cli) -> None:
    Path("card.yaml").write_text(
        "trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1}\n"
        "model: {init_args: {net: {class_path: CNN, init_args: {channels: [2], hidden_sizes: []}}}}\nwatch: null\n"
    )
    Path("rates").mkdir()
    Path("rates/study.yaml").write_text(
        "question: which rate?\nconfig: card.yaml\nfactors:\n  model.optimizer.lr: [1e-3, 1e-2]\n"
        "overrides: {data.batch_size: 3.2e1}\nseeds: 1\n"
    )
    assert cli("study", "rates").code == 0
    rows = list(csv.DictReader(Path("rates/results.csv").read_text().splitlines()))
    assert [(row["model.optimizer.lr"], row["status"]) for row in rows] == [("1e-3", "done"), ("1e-2", "done")]
    rates = {
        name: yaml.safe_load(find(f"runs/rates/{name}").config.read_text())["model"]["init_args"]["optimizer"][
            "init_args"
        ]["lr"]
        for name in ("1e-3", "1e-2")
    }
    assert rates == {"1e-3": 1e-3, "1e-2": 1e-2}
    assert cli("study", "rates").out.count("0 of them to do") == 1
    for words in (
        ["test", "--run", "runs/rates/1e-3"],
        ["compare", "runs/rates/1e-3", "runs/rates/1e-2"],
        ["runs", "runs/rates"],
    ):
        ended = cli(*words)
        assert ended.code == 0, ended.err


def test_ranges_of_a_search_take_such_numbers(tmp_path: Path) -> None:
    from cnnkit.study.plan import read_plan
    from cnnkit.study.search import check_search

    (tmp_path / "card.yaml").write_text("watch: null\n")
    ranges = "{model.optimizer.lr: {low: 1e-4, high: 1e-1}}"
    (tmp_path / "study.yaml").write_text(
        f"question: which rate?\nconfig: card.yaml\nsearch: {{trials: 1, ranges: {ranges}}}"
    )
    assert check_search(read_plan(tmp_path))["ranges"] == {"model.optimizer.lr": {"low": 1e-4, "high": 1e-1}}
