"""What an epoch ends with: its metrics on the disk before its checkpoint, and no checkpoint of ruined weights."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SMALL, Cli

from cnnkit.callbacks import SafeCheckpointIO
from cnnkit.runs import RunFolder, find

SPOIL = """
import torch
from lightning.pytorch.callbacks import Callback

class Spoil(Callback):
    def __init__(self, step: int, what: str):
        self.step, self.what = step, what

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == self.step and self.what == "gradient":
            next(module.parameters()).grad.fill_(float("inf"))

    def on_train_batch_end(self, trainer, module, *args):
        if trainer.global_step == self.step and self.what == "moment":
            trainer.optimizers[0].state[next(module.parameters())]["exp_avg"].fill_(float("nan"))
"""


class Killed(BaseException):
    """No callback or handler of Lightning's catches it on its way out to the disk's state."""


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_kill_right_after_a_checkpoint_loses_no_row(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, epoch: int, tmp_path: Path
) -> None:
    """As the disk is when last.ckpt has just been renamed, a copy is taken: what a kill would leave."""
    save = SafeCheckpointIO.save_checkpoint

    def save_and_copy(self: Any, checkpoint: Any, path: Any, **more: Any) -> None:
        save(self, checkpoint, path, **more)
        if Path(path).name == "last.ckpt" and checkpoint["epoch"] == epoch - 1:
            shutil.copytree(Path(path).parents[1], tmp_path / "killed")

    monkeypatch.setattr(SafeCheckpointIO, "save_checkpoint", save_and_copy)
    assert cli("fit", *SMALL, "--trainer.max_epochs=2").code == 0
    tables = []
    for run in (RunFolder(tmp_path / "killed"), find("runs")):
        with run.metrics.open() as file:
            tables.append([row for row in csv.DictReader(file) if int(row["step"]) < 3 * epoch])
    killed, whole = tables
    names = ("step", "epoch", "train/loss", "train/acc", "val/loss", "val/acc")
    assert [{n: row[n] for n in names} for row in killed] == [{n: row[n] for n in names} for row in whole]
    assert killed[-1]["train/loss"]
    assert killed[-1]["val/acc"]


@pytest.mark.parametrize("what", ["gradient", "moment"])
def test_weights_that_are_no_numbers_are_not_saved(cli: Cli, what: str) -> None:
    Path("spoiling.py").write_text(SPOIL)
    step = 5 if what == "gradient" else 6  # of 6: the loss of the last step is finite
    spec = [{"class_path": "spoiling.Spoil", "init_args": {"step": step, "what": what}}]
    words = [
        *SMALL,
        "--trainer.max_epochs=2",
        f"--trainer.callbacks={json.dumps(spec)}",
        "--trainer.limit_val_batches=0",
    ]
    ended = cli("fit", *words)
    assert ended.code == 1
    assert "the weights are no finite numbers after step 6 and are not saved" in ended.err
    run = find("runs")
    last = torch.load(run.last, weights_only=True)
    assert last["global_step"] == 3
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert run.manifest()["status"] == "failed"
