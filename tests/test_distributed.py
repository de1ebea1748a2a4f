"""Two processes on one CPU: the same experiment as one, and one run folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, WATCHED, Cli

from cnnkit.cli.errors.exit_codes import describe_briefly, run_to_exit_code
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
        assert second["last"][name] == pytest.approx(first["last"][name], rel=1e-4, abs=1e-7), name

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


@pytest.mark.parametrize(
    ("rank", "speaks"),
    [
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "1", "LOCAL_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0"}, True),  # the first of another machine
        ({"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, True),
        ({"SLURM_PROCID": "3", "SLURM_LOCALID": "1"}, False),
    ],
)
def test_of_the_ranks_of_a_launcher_the_first_of_each_machine_says_what_is_refused(
    cli: Cli,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rank: dict[str, str],
    speaks: bool,
) -> None:
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    ended = cli("fit", "--trainer.max_epoch=1")
    assert (ended.code, ended.err.startswith("error: trainer.max_epoch")) == (2, speaks)
    assert speaks or not ended.err

    def fail() -> int:
        raise RuntimeError("this rank's memory")

    assert run_to_exit_code(fail, describe_briefly, debug=False) == 1
    assert "this rank's memory" in capfd.readouterr().err, "no other rank may have met it"


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


IN_PYTHON = """
import cnnkit

small = {"model.net.channels": [4, 8], "data.train_fraction": 0.02, "trainer.max_epochs": 1, "watch": None}
if EARLIER:
    cnnkit.fit("quickstart", **small)
two = {"trainer.accelerator": "cpu", "trainer.devices": 2, "trainer.strategy": "ddp"}
run = cnnkit.fit("quickstart", name="two", **two, **small)
print("tested", run.manifest["status"], run.test()["test/acc"])
print("trained", cnnkit.fit("quickstart", name="one", **small).manifest["status"])
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_script_goes_on_in_one_process_after_a_fit_of_two(tmp_path: Path) -> None:
    for earlier, code in ((False, 0), (True, None)):
        (tmp_path / "script.py").write_text(IN_PYTHON.replace("EARLIER", str(earlier)))
        command = [sys.executable, "script.py"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        if code is None:
            assert ended.returncode != 0
            assert "UserError: a fit on several devices starts the script again" in ended.stderr
        else:
            assert ended.returncode == code, ended.stderr
            assert [ended.stdout.count(word) for word in ("tested finished", "trained finished")] == [1, 1]
    assert len(list((tmp_path / "runs" / "one").iterdir())) == 1
