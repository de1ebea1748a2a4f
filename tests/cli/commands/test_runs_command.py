"""``runs``: a table, one run, two runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_runs import fake_run, rightly
from small_runs import Cli, CommandResult


@pytest.fixture
def three(cli: Cli) -> None:
    fake_run("runs/cnn/1", started="2026-01-01T10:00:00+00:00", correct=rightly(10, [0]))
    fake_run("runs/cnn/2", started="2026-01-03T10:00:00+00:00", seed=1, dropout=0.5, best={"val/acc": 0.75})
    fake_run("runs/mlp/3", started="2026-01-02T10:00:00+00:00", net="MLP", best=None, last=None)


def rows(ended: CommandResult) -> list[list[str]]:
    assert ended.code == 0, ended.err
    return [line.split() for line in ended.out.splitlines()]


def test_the_table_has_a_row_a_run_the_newest_first(cli: Cli, three: None) -> None:
    assert rows(cli("runs")) == [
        ["run", "status", "net", "parameters", "epochs", "minutes", "val/acc", "test/acc"],
        ["runs/cnn/2", "finished", "CNN", "1,234", "2", "1.5", "75.00", "%"],
        ["runs/mlp/3", "finished", "MLP", "1,234", "2", "1.5"],
        ["runs/cnn/1", "finished", "CNN", "1,234", "2", "1.5", "62.50", "%", "90.00", "%"],
    ]
    assert [row[0] for row in rows(cli("runs", "--reverse"))[1:]] == ["runs/cnn/1", "runs/mlp/3", "runs/cnn/2"]
    assert [row[0] for row in rows(cli("runs", "runs/mlp"))[1:]] == ["runs/mlp/3"]


def test_rows_and_columns_are_chosen(cli: Cli, three: None) -> None:
    words = ["--sort", "val/acc", "--where", "net=CNN", "--where=model.net.dropout<1", "--limit", "1"]
    ended = cli("runs", *words, "--columns", "run,seed,model.net.dropout,machine.cpu")
    assert rows(ended) == [
        ["run", "seed", "model.net.dropout", "machine.cpu"],
        ["runs/cnn/2", "1", "0.5", "abacus"],
    ]
    assert ended.err == "1 of 3 runs\n"
    assert "none of the 3 runs" in cli("runs", "--where", "epochs>9").err


def test_the_table_for_programs(cli: Cli, three: None) -> None:
    fake_run("runs/bad", started="2027-01-01T00:00:00+00:00", last={"val/loss": float("nan")}, best=None)
    found = json.loads(cli("runs", "--json").out, parse_constant=pytest.fail)
    assert [row["run"] for row in found] == ["runs/bad", "runs/cnn/2", "runs/mlp/3", "runs/cnn/1"]
    assert (found[0]["val/loss"], found[3]["test/acc"], found[3]["parameters"]) == (None, 0.9, 1234)
    ended = cli("runs", "--json", "--columns", "net,code", "--limit", "1")
    assert json.loads(ended.out) == [{"net": "CNN", "code": "c0"}]


def test_a_broken_run_is_a_row_that_says_why(cli: Cli, three: None) -> None:
    Path("runs/cnn/1/manifest.json").write_text("{")
    fake_run("runs/cut", status="failed", reason="RuntimeError: \x1b[2J")
    ended = cli("runs", "--sort", "run")
    assert ended.code == 0
    assert "broken" in ended.out.splitlines()[1]
    assert "manifest.json is no JSON" in ended.out.splitlines()[1]
    assert "\x1b" not in ended.out


def test_no_runs_at_all(cli: Cli) -> None:
    Path("runs").mkdir()
    ended = cli("runs")
    assert (ended.code, ended.out) == (0, "")
    assert "no runs below runs" in ended.err
    assert json.loads(cli("runs", "--json").out) == []


def test_one_run_is_shown_with_its_scores_and_configuration(cli: Cli, three: None) -> None:
    ended = cli("runs", "show", "runs/cnn/1")
    lines = [line.split(None, 1) for line in ended.out.splitlines()]
    expected = {"machine.cpu": "abacus", "best.val/acc": "62.50 %", "model.net.channels": "[4, 8]", "test_looks": "1"}
    assert expected.items() <= {line[0]: line[1] for line in lines if len(line) == 2}.items()
    assert cli("runs", "show", "runs/cnn").out.splitlines()[0].split() == ["run", "runs/cnn/2"]  # the newest below
    found = json.loads(cli("runs", "show", "runs/cnn/1", "--json").out)
    assert (found["manifest"]["test_looks"], found["config"]["model.net"]) == (1, "cnnkit.CNN")


def test_two_runs_side_by_side(cli: Cli, three: None) -> None:
    fake_run("runs/cnn/4", code="c1", dropout=0.5, correct=rightly(10, [1, 2]))
    ended = cli("runs", "diff", "runs/cnn/1", "runs/cnn/4")
    table = rows(ended)
    assert ["test/acc", "90.00", "%", "80.00", "%"] in table
    assert ["model.net.dropout", "0", "0.5"] in table
    assert ["code", "c0", "c1"] in table
    assert "model.net.channels" not in ended.out
    found = json.loads(cli("runs", "diff", "runs/cnn/1", "runs/mlp/3", "--json").out)
    assert found["configuration"] == {"model.net": {"a": "cnnkit.CNN", "b": "cnnkit.MLP"}}
    assert found["circumstances"] == {}
    assert found["results"]["test/acc"] == {"a": 0.9, "b": None}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nothing", "nothing: no such folder"),
        ("runs more", "more: give one folder"),
        ("show", "runs show: it takes one run, as in `runs show RUN`"),
        ("diff runs/cnn/1", "runs diff: it takes two runs, as in `runs diff A B`"),
        ("show runs/none", "runs/none: no such run folder; `cnnkit runs` lists those there are"),
        ("show runs/cnn/1 --sort val/acc", "--sort: is for the table of runs"),
        ("--where net", "--where 'net': write a condition"),
        ("--sort val/ac", "val/ac: no run has such a value; there are val/acc"),
        ("--limit 0", "--limit: expected a whole number from 1 on"),
        ("--sorted val/acc", "--sorted: unknown word; did you mean --sort?"),
    ],
)
def test_a_mistake_is_told_in_a_line(cli: Cli, three: None, words: str, expected: str) -> None:
    ended = cli("runs", *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1


def test_reading_runs_imports_no_torch_and_no_numpy(cli: Cli, three: None) -> None:
    code = (
        "import sys; from cnnkit.cli import main\n"
        "codes = [main(['runs', '--sort', 'val/acc', '--where', 'model.net=CNN'])]\n"
        "codes += [main(['runs', 'show', 'runs/cnn']), main(['runs', 'diff', 'runs/cnn/1', 'runs/cnn/2'])]\n"
        "print(codes, [m for m in ('torch', 'lightning', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout.splitlines()[-1:] == ["[0, 0, 0] []"], ended.stderr
