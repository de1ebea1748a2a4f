"""Two processes on one CPU: the same experiment as one, and one run folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, WATCHED, Cli

from cnnkit.notices import is_said_by_other_rank, one_command, share_with_ranks
from cnnkit.runs import RunFolder, find
from cnnkit.runs.predictions import load_predictions

WEIGHTS = """
import torch
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class KeepWeights(Callback):
    def on_train_end(self, trainer, module):
        torch.save(module.net.state_dict(), f"weights-{trainer.global_rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ranks_train_alike_and_count_every_image_once(tmp_path: Path) -> None:
    (tmp_path / "keep.py").write_text(WEIGHTS)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNNKIT_PRECISION": "32-true"}
    # 9 images would be left over for two ranks: 991 validation images in batches of 110, 2,000 test images in 77.
    odd = [WATCHED, "--data.val_size=991", "--data.eval_batch_size=77", "--model.net.dropout=0", "--trainer.callbacks"]
    keep = '[{"class_path": "keep.KeepWeights"}]'

    def run(*words: str) -> None:
        command = [sys.executable, "-m", "cnnkit", *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
        assert ended.returncode == 0, ended.stderr

    two = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    run("fit", *SMALL, *odd, keep, "--name=two", *two)
    one, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[key], other[key]) for key in one)
    run("fit", *SMALL, *odd, keep, "--name=one")

    runs = {name: find(tmp_path / "runs" / name) for name in ("one", "two")}
    assert [len(list((tmp_path / "runs" / name).iterdir())) for name in runs] == [1, 1]
    first, second = (run.manifest() for run in runs.values())
    assert first["steps"] == second["steps"] == 3
    assert first["schedule"] == second["schedule"]
    assert second["schedule"]["length"] == 3
    assert second["device"]["devices"] == 2
    for name in ("train/loss", "train/acc", "val/loss", "val/acc", "val/ece"):
        assert second["last"][name] == pytest.approx(first["last"][name], rel=1e-4), name

    run("test", "--run", "runs/two")  # the configuration asks for two processes
    scores, kept = runs["two"].manifest()["test"], load_predictions(runs["two"].predictions)
    run("test", "--run", "runs/two", "--trainer.devices=1", "--trainer.strategy=auto")
    assert scores == pytest.approx(runs["two"].manifest()["test"], rel=1e-5)
    alone = load_predictions(runs["two"].predictions)
    assert kept.labels.tolist() == alone.labels.tolist()
    assert (kept.predicted == alone.predicted).mean() > 0.999  # other batches are rounded otherwise


def test_a_command_of_ranks_leaves_its_process_as_it_was(cli: Cli) -> None:
    ddp = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.strategy=ddp"]
    before = dict(os.environ)
    for words, code in ([], 0), (["--data.train_fraction=0.001"], 2):
        assert cli("fit", *SMALL, *ddp, *words).code == code
        assert not torch.distributed.is_initialized(), "metrics of a later fit would wait for ranks that are gone"
        for name in ("LOCAL_RANK", "MASTER_PORT", "WORLD_SIZE", "OMP_NUM_THREADS"):
            assert os.environ.get(name) == before.get(name)


def test_the_ranks_of_a_command_say_the_same_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with share_with_ranks():
        assert [is_said_by_other_rank(text) for text in ("a", "b", "a")] == [False, False, True]
        monkeypatch.setenv("LOCAL_RANK", "1")
        folder = os.environ["CNNKIT_SAID"]
        assert [is_said_by_other_rank(text) for text in ("a", "c")] == [True, False]
    assert is_said_by_other_rank("c"), "by the first process, which ends after that"
    monkeypatch.setenv("CNNKIT_SAID", folder)
    assert is_said_by_other_rank("d"), "by a rank that comes when the first process has ended"
    with one_command():
        monkeypatch.delenv("CNNKIT_SAID")
        assert not is_said_by_other_rank("c"), "in another command"


@pytest.mark.slow
def test_two_ranks_refuse_batches_of_one_before_training(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNNKIT_PRECISION": "32-true"}
    two = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    command = [sys.executable, "-m", "cnnkit", "fit", *SMALL, "--data.eval_batch_size=1", *two]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert ended.returncode == 2
    said = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert said == ["error: data.eval_batch_size is 1, but 2 ranks share each batch: give at least 2"]
    assert not list((tmp_path / "runs").rglob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ranks_learn_from_a_teacher_as_one_does(tmp_path: Path, trained_once: RunFolder) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNNKIT_PRECISION": "32-true"}
    task = ["--model=DistillationTask", f"--model.teacher={trained_once.path}", *SMALL, "--model.net.dropout=0"]
    two = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    for name, more in (("one", []), ("two", two)):
        command = [sys.executable, "-m", "cnnkit", "fit", *task, f"--name={name}", *more]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
        assert ended.returncode == 0, ended.stderr
    first, second = (find(tmp_path / "runs" / name).manifest() for name in ("one", "two"))
    assert second["device"]["devices"] == 2
    assert first["teacher"] == second["teacher"]
    for name in ("train/loss", "train/loss_main", "train/loss_teacher", "val/loss"):
        assert second["last"][name] == pytest.approx(first["last"][name], rel=1e-4, abs=1e-7), name
