import csv
import json
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from small_runs import SMALL, WATCHED, Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnkit.cli import main
from cnnkit.runs import RunFolder, find

TWO_EPOCHS = [*SMALL, WATCHED, "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"]
CALLBACK = """
import os, signal
from lightning.pytorch.callbacks import Callback

class SignalAt(Callback):
    def __init__(self, step: int, name: str = "SIGTERM", times: int = 1):
        self.step, self.name, self.times = step, name, times

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            for _ in range(self.times):
                os.kill(os.getpid(), getattr(signal, self.name))

class SignalAtBatch(SignalAt):
    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == self.step:
            os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.fixture
def whole(cli: Cli, trained_once: RunFolder) -> RunFolder:
    """The same run undisturbed."""
    Path("signals.py").write_text(CALLBACK)
    shutil.copytree(trained_once.path, "runs/whole/copy")
    return RunFolder(Path("runs/whole/copy"))


def stop_at(step: int, **more: object) -> str:
    spec = {"class_path": "signals.SignalAt", "init_args": {"step": step, **more}}
    return f"--trainer.callbacks={json.dumps([spec])}"


def rows(run: RunFolder) -> list[dict[str, str]]:
    with run.metrics.open() as file:
        found = list(csv.DictReader(file))
    of_the_machine = ("images_per_second", "memory/peak_mb")
    return [{key: value for key, value in row.items() if key not in of_the_machine} for row in found]


def assert_same_run(one: RunFolder, other: RunFolder) -> None:
    a, b = (torch.load(run.last, weights_only=True) for run in (one, other))
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])
    assert torch.equal(a["optimizer_states"][0]["state"][0]["exp_avg"], b["optimizer_states"][0]["state"][0]["exp_avg"])
    assert rows(one) == rows(other)
    for name in ("val/acc", "train/loss", "train/loss_step", "lr-Adam"):
        first, second = (EventAccumulator(str(r.path)).Reload().Scalars(name) for r in (one, other))
        assert [(e.step, e.value) for e in first] == [(e.step, e.value) for e in second], name
    assert one.manifest()["best"] == other.manifest()["best"]


@pytest.mark.parametrize(
    ("step", "name", "code", "stopped_after"),
    [(2, "SIGTERM", 143, 2), (3, "SIGINT", 130, 3), (4, "SIGHUP", 129, 4)],
    ids=["within an epoch", "at its end", "in the last epoch"],
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    cli: Cli, whole: RunFolder, step: int, name: str, code: int, stopped_after: int
) -> None:
    ended = cli("fit", *TWO_EPOCHS, "--name=stopped", stop_at(step, name=name))
    run = find("runs/stopped")
    assert ended.code == code
    assert f"fit --resume {run}" in ended.err
    assert run.manifest()["status"] == "stopped"
    assert torch.load(run.last, weights_only=True)["global_step"] == stopped_after
    assert cli("fit", "--resume", str(run)).code == 0
    assert_same_run(run, whole)
    manifest = run.manifest()
    assert manifest["status"] == "finished"
    assert [r["from_step"] for r in manifest["resumes"]] == [stopped_after]
    assert "--resume" not in manifest["command"]
    assert manifest["images_per_second"] > 1
    assert len(EventAccumulator(str(run.path)).Reload().Images("train/augmented")) == 1


def test_a_signal_while_gradients_accumulate_waits_for_the_step(cli: Cli) -> None:
    Path("signals.py").write_text(CALLBACK)
    longer = [*SMALL, "--data.batch_size=64", "--trainer.max_epochs=2", "--trainer.accumulate_grad_batches=2"]
    assert cli("fit", *longer, "--name=whole").code == 0
    stop = f"--trainer.callbacks={json.dumps([{'class_path': 'signals.SignalAtBatch', 'init_args': {'step': 0}}])}"
    assert cli("fit", *longer, "--name=stopped", stop).code == 130
    run, whole = find("runs/stopped"), find("runs/whole")
    assert cli("fit", "--resume", str(run)).code == 0
    one, other = (torch.load(each.last, weights_only=True)["state_dict"] for each in (run, whole))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert rows(run) == rows(whole)


def test_a_killed_run_goes_on_from_its_last_checkpoint(cli: Cli, whole: RunFolder) -> None:
    words = ["fit", *TWO_EPOCHS, "--name=killed", stop_at(5, name="SIGKILL")]
    child = get_context("spawn").Process(target=main, args=(words,))
    child.start()
    child.join(200)
    assert child.exitcode == -signal.SIGKILL
    run = find("runs/killed")
    assert next(row["train/loss"] for row in rows(run) if row["step"] == "2")  # what belongs to the checkpoint is there
    run.config.write_text(run.config.read_text().replace("step: 5", "step: 500"))  # killed once is enough
    assert cli("fit", "--resume", str(run)).code == 0
    assert_same_run(run, whole)


@pytest.mark.slow
def test_the_second_signal_leaves_at_once(whole: RunFolder) -> None:
    words = ["fit", *TWO_EPOCHS, "--name=twice", stop_at(2, times=2)]
    child = get_context("spawn").Process(target=main, args=(words,))
    child.start()
    child.join(200)
    assert child.exitcode == -signal.SIGTERM
    assert not find("runs/twice").last.exists()


def test_signals_are_given_back(cli: Cli, whole: RunFolder) -> None:
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = list(map(signal.getsignal, kinds))
    cli("fit", *TWO_EPOCHS, stop_at(1))
    assert list(map(signal.getsignal, kinds)) == before
    assert cli("fit", *SMALL).code == 0
    assert list(map(signal.getsignal, kinds)) == before, "also after a run that came to its end"


def test_resuming_a_finished_run_says_so_and_changes_nothing(cli: Cli, whole: RunFolder) -> None:
    before = whole.last.read_bytes(), rows(whole), whole.manifest()
    ended = cli("fit", "--resume", "runs/whole")
    assert ended.code == 0
    assert "finished already" in ended.err
    assert ended.out.count(" s for this command") == 1  # less than the training of the run, which is not repeated
    assert (whole.last.read_bytes(), rows(whole), whole.manifest()) == before


def test_a_finished_run_can_be_made_longer(cli: Cli) -> None:
    constant = [*SMALL, "--model.scheduler=null"]  # a schedule would be another one
    assert cli("fit", *constant, "--name=straight", "--trainer.max_epochs=2").code == 0
    assert cli("fit", *constant, "--name=longer").code == 0
    assert cli("fit", "--resume", "runs/longer", "--trainer.max_epochs=2").code == 0
    run = find("runs/longer")
    a, b = (torch.load(r.last, weights_only=True)["state_dict"] for r in (run, find("runs/straight")))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert "max_epochs: 2" in run.config.read_text()


def test_a_run_that_came_to_no_checkpoint_cannot_be_resumed(cli: Cli, whole: RunFolder) -> None:
    whole.last.unlink()
    whole.best.unlink()
    ended = cli("fit", "--resume", str(whole))
    assert ended.code == 2
    assert "last.ckpt: no such checkpoint" in ended.err


def test_ctrl_c_before_the_first_step_leaves_no_folder(cli: Cli) -> None:
    Path("early.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n"
        "class Early(Callback):\n"
        "    def on_fit_start(self, *args):\n"
        "        raise KeyboardInterrupt\n"
    )
    ended = cli("fit", *SMALL, '--trainer.callbacks=[{"class_path": "early.Early"}]')
    assert (ended.code, ended.err) == (130, "stopped; there is nothing to resume\n")
    assert not Path("runs").exists()


def test_a_full_disk_is_told_as_such(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    ended = cli("fit", *SMALL, "--name=full")
    assert ended.code == 2
    assert "cannot save the checkpoint (No space left on device)" in ended.err
    assert find("runs/full").manifest()["status"] == "failed"


def test_a_run_that_was_moved_remembers_its_best_score(cli: Cli, whole: RunFolder) -> None:
    """The fixture copies the run: the paths in its checkpoint are those of another folder."""
    best, score = whole.best.read_bytes(), whole.manifest()["best"]
    assert cli("fit", "--resume", str(whole), "--trainer.max_epochs=3", "--trainer.limit_val_batches=1").code == 0
    after = whole.manifest()["best"]
    assert after["val/acc"] >= score["val/acc"]
    assert (whole.best.read_bytes() == best) == (after == score)
    last = torch.load(whole.last, weights_only=True)["callbacks"]
    paths = next(state["best_model_path"] for state in last.values() if "best_model_path" in state)
    assert Path(paths).resolve() == whole.best.resolve()


def test_ctrl_c_before_the_first_checkpoint_leaves_no_folder(cli: Cli) -> None:
    Path("early_on.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n"
        "class InTheFirstEpoch(Callback):\n"
        "    def on_train_batch_end(self, trainer, *args):\n"
        "        if trainer.global_step == 2:\n"
        "            raise KeyboardInterrupt\n"
    )
    ended = cli("fit", *SMALL, '--trainer.callbacks=[{"class_path": "early_on.InTheFirstEpoch"}]')
    assert (ended.code, Path("runs").exists()) == (130, False)


@pytest.mark.slow
def test_more_steps_go_on_within_the_epoch_that_max_steps_cut_short(cli: Cli) -> None:
    words = [*(word for word in SMALL if "scheduler" not in word), "--trainer.max_epochs=2"]  # of 3 steps each
    assert cli("fit", *words, "--name=whole", "--trainer.max_steps=5").code == 0
    assert cli("fit", *words, "--name=cut", "--trainer.max_steps=4").code == 0
    whole, cut = find("runs/whole"), find("runs/cut")
    ended = cli("fit", "--resume", str(cut), "--trainer.max_steps=5")
    assert (ended.code, ended.err) == (0, "")
    a, b = (torch.load(run.last, weights_only=True) for run in (whole, cut))
    assert a["global_step"] == b["global_step"] == 5
    assert all(torch.equal(a["state_dict"][key], b["state_dict"][key]) for key in a["state_dict"])
    assert rows(whole)[-1] == rows(cut)[-1], "training loss and accuracy of all steps of the epoch"
    assert "train on, add --trainer.max_steps N\n" in cli("fit", "--resume", str(cut)).err
    assert cli("fit", "--resume", str(cut), "--trainer.max_steps=9").code == 0
    assert torch.load(cut.last, weights_only=True)["global_step"] == 6
    assert "train on, add --trainer.max_epochs N\n" in cli("fit", "--resume", str(cut)).err
