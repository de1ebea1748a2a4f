"""`--ckpt_path` means a file of the run, and a damaged last.ckpt is no end."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_runs import SMALL, Cli

from cnnkit.cli import main
from cnnkit.runs import RunFolder, find


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, of three steps each, whose best checkpoint is that of the first, with weights of 0."""
    folder = tmp_path_factory.mktemp("chosen")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", *SMALL, "--name=a"]) == 0
        run = find("runs")
        best = torch.load(run.last, weights_only=True)
        assert main(["fit", "--resume", "runs/a", "--trainer.max_epochs=2"]) == 0
        for name in (name for name in best["state_dict"] if name.startswith("net.")):
            best["state_dict"][name] = torch.zeros_like(best["state_dict"][name])
        torch.save(best, run.best)
    return run.path if run.path.is_absolute() else folder / run.path


@pytest.fixture
def run(cli: Cli, trained: Path) -> RunFolder:
    """A copy of it."""
    shutil.copytree(trained, "runs/a/1")
    return RunFolder(Path("runs/a/1"))


def test_last_and_best_are_files_of_the_run_and_only_the_best_ones_scores_are_the_runs(
    cli: Cli, run: RunFolder
) -> None:
    assert cli("test", "--run", "runs/a").code == 0
    of_best, predictions = run.manifest()["test"], run.predictions.read_bytes()
    assert of_best["test/acc"] == pytest.approx(0.1)  # a net of zeros takes the first class
    assert run.manifest()["test_of"] == {"checkpoint": "best.ckpt", "epoch": 1, "step": 3}
    ended = cli("test", "--run", "runs/a", "--ckpt_path", "last")
    assert "recorded as scores of last.ckpt; the run's own are those of best.ckpt" in ended.out
    manifest = run.manifest()
    other = manifest["other_scores"][0]
    assert (manifest["test"], run.predictions.read_bytes()) == (of_best, predictions)
    assert (other["command"], other["checkpoint"], other["epoch"], other["step"]) == ("test", "last.ckpt", 2, 6)
    assert other["scores"]["test/acc"] != of_best["test/acc"]
    assert manifest["test_looks"] == 2
    assert cli("validate", "--run", "runs/a", "--ckpt_path", "last.ckpt").code == 0
    assert run.manifest()["other_scores"][1]["command"] == "validate"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("test --ckpt_path last", "ckpt_path is 'last', which is a file of a run: name the run, too"),
        ("predict --ckpt_path best --images x.png", "ckpt_path is 'best', which is a file of a run"),
        ("test --run runs/a --ckpt_path hpc", "hpc: no such checkpoint; the run has best.ckpt, last.ckpt"),
        ("validate --run runs/a --ckpt_path nothing.ckpt", "nothing.ckpt: no such checkpoint"),
        ("fit --resume runs/a --ckpt_path other.ckpt", "other.ckpt: no checkpoint of runs/a/1"),
    ],
)
def test_what_is_no_file_of_the_run_is_refused(cli: Cli, run: RunFolder, words: str, said: str) -> None:
    shutil.copy(run.last, "other.ckpt")
    Image.new("RGB", (8, 8)).save("x.png")
    before = run.manifest()
    ended = cli(*words.split())
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert run.manifest() == before


def test_a_run_goes_on_from_the_checkpoint_that_is_asked_for(cli: Cli, run: RunFolder) -> None:
    assert cli("fit", "--resume", "runs/a", "--ckpt_path", "best").code == 0
    assert run.manifest()["resumes"][-1]["from_step"] == 3


def test_a_damaged_last_checkpoint_falls_back_to_the_newest_that_can_be_read(cli: Cli, run: RunFolder) -> None:
    content = bytearray(run.last.read_bytes())
    content[len(content) // 2] ^= 1
    run.last.write_bytes(content)
    (run.checkpoints / "mine.ckpt").write_bytes(b"PK")
    ended = cli("fit", "--resume", "runs/a")
    assert ended.code == 0, ended.err
    assert "last.ckpt: damaged or no checkpoint; going on from best.ckpt, step 3" in ended.err
    assert run.manifest()["resumes"][-1]["from_step"] == 3
    assert torch.load(run.last, weights_only=True)["global_step"] == 6
    run.last.write_bytes(b"")
    run.best.write_bytes(b"")
    ended = cli("fit", "--resume", "runs/a")
    assert (ended.code, "no other checkpoint of runs/a/1 can be read" in ended.err) == (2, True)


def test_what_may_not_be_read_is_not_called_damaged(cli: Cli, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def deny(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("last.ckpt"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", deny)
    ended = cli("fit", "--resume", "runs/a")
    assert ended.code == 2
    assert "last.ckpt: cannot be read (Permission denied); it may be whole" in ended.err


def test_a_checkpoint_of_other_classes_is_one_line_with_both_sides(cli: Cli, run: RunFolder) -> None:
    ended = cli("test", "--config", str(run.config), "--ckpt_path", str(run.last), "--model.net.hidden_sizes=[7]")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert "last.ckpt: does not fit the net: its net." in ended.err
    assert "(16, " in ended.err
    assert "(7, " in ended.err


def test_scores_of_a_best_checkpoint_that_was_replaced_are_no_longer_the_runs(cli: Cli, run: RunFolder) -> None:
    run.update_manifest(best={"val/acc": 0.01, "epoch": 1, "step": 3}, test={"test/acc": 0.1}, test_looks=1)
    run.predictions.write_bytes(b"")
    checkpoint = torch.load(run.last, weights_only=True)
    for state in checkpoint["callbacks"].values():
        if "best_model_score" in state:
            state |= {"best_model_score": torch.tensor(0.01), "current_score": torch.tensor(0.01)}
            state["best_k_models"] = {path: torch.tensor(0.01) for path in state["best_k_models"]}
            state["kth_value"] = torch.tensor(0.01)
    torch.save(checkpoint, run.last)
    assert cli("fit", "--resume", "runs/a", "--trainer.max_epochs=3").code == 0
    manifest = run.manifest()
    assert manifest["best"]["step"] == 9
    assert "test" not in manifest
    assert not run.predictions.exists()
    assert manifest["other_scores"] == [
        {"command": "test", "checkpoint": "best.ckpt", "step": 3, "scores": {"test/acc": 0.1}}
    ]
