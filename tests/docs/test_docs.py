"""Runs what the documents say, with few batches, so that they stay true."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from cnnkit.cli import main

ROOT = Path(__file__).parents[2]
FEW = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "limit_test_batches": 1}
PAGES = ["extending", "data", "nets", "transfer"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def files(page: str) -> dict[str, str]:
    """The blocks that are whole files, by the name in their first line."""
    named = [re.match(r"# (my_\w+\.\w+)\n", block) for kind in ("python", "yaml") for block in blocks(page, kind)]
    return {match[1]: match.string for match in named if match}


def commands(page: str) -> list[str]:
    """The commands that use one of those files; what needs data from elsewhere is left out."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("cnnkit ") and "my_" in line]


def snippets(page: str) -> list[str]:
    return [block for block in blocks(page, "python") if not block.startswith("# my_")]


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files of the page and the configs."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name, text in files(request.param).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("CNNKIT_PRECISION", "32-true")
    for name, value in FEW.items():  # for the trainers that a snippet makes
        monkeypatch.setenv(f"PL_TRAINER_{name.upper()}", str(value))
    for name in [name for name in sys.modules if name.startswith("my_")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


LONG = pytest.param("transfer", marks=pytest.mark.slow)


@pytest.mark.parametrize("desk", [*PAGES[:-1], LONG], indirect=True)
def test_commands_run_as_written(desk: Path, request: pytest.FixtureRequest) -> None:
    page = request.node.callspec.params["desk"]
    assert commands(page)
    for command in commands(page):
        words = shlex.split(command, comments=True)[1:]
        if words[0] == "fit":
            words += [word for name, value in FEW.items() for word in (f"--trainer.{name}", str(value))]
            words += ["--data.eval_batch_size", "100"]
        assert main(words) == 0, command


@pytest.mark.parametrize("desk", ["extending"], indirect=True)
def test_own_metrics_and_callbacks_are_logged_by_the_names_of_the_page(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = [word for name, value in FEW.items() for word in (f"--trainer.{name}", str(value))]
    words = "fit --model my_metrics.WithMoreMetrics --model.net MLP --trainer.callbacks+=my_callback.WeightNorm"
    assert main([*words.split(), *few]) == 0, capfd.readouterr().err
    header = next(desk.glob("runs/*/*/metrics.csv")).read_text().splitlines()[0].split(",")
    assert {"train/top3", "val/top3", "val/f1", "weights/norm"} <= set(header)


@pytest.mark.parametrize("desk", ["extending"], indirect=True)
def test_snippets_run_as_written(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnkit.data import Batches

    monkeypatch.setattr(Batches, "__len__", lambda self: 2)  # for the loop without Lightning
    found = [*snippets("extending"), *snippets("nets"), *snippets("tables")]
    assert len(found) == 4
    for snippet in found:
        exec(compile(snippet, "docs", "exec"), {"__name__": "snippet"})
