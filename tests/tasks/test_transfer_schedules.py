"""Rates over an unfreeze, and a run that is stopped and goes on."""

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from small_runs import Cli
from timm.scheduler import CosineLRScheduler
from torch.optim import lr_scheduler

from cnnkit import CNN, FashionMNISTSample, TransferTask
from cnnkit.runs import find

STEPS, EPOCHS = 3, 4


class Rates(Callback):
    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


def one_cycle(step: int) -> float:
    """Up to max_lr and down again along half cosines, from max_lr / 25 to that / 1e4 (Smith & Topin 2017)."""
    total, start, end = STEPS * EPOCHS, 1 / 25, 1 / 25 / 1e4
    top = 0.5 * total - 1
    low, high, part = (start, 1.0, step / top) if step <= top else (end, 1.0, (total - 1 - step) / (total - 1 - top))
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * part))


SCHEDULES: dict[str, tuple[Any, Callable[[int], float]]] = {
    "LambdaLR": (partial(lr_scheduler.LambdaLR, lr_lambda=lambda e: 0.5**e), lambda s: 0.5 ** (s // STEPS)),
    "OneCycleLR": (partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=None, pct_start=0.5), one_cycle),
    "CosineAnnealingLR": (
        partial(lr_scheduler.CosineAnnealingLR, T_max=0),
        lambda s: 0.5 * (1 + math.cos(math.pi * s / (STEPS * EPOCHS))),
    ),
    "CosineAnnealingLR with a floor": (  # which is the head's; the backbone's is in proportion
        partial(lr_scheduler.CosineAnnealingLR, T_max=0, eta_min=0.02),
        lambda s: 0.2 + 0.4 * (1 + math.cos(math.pi * s / (STEPS * EPOCHS))),
    ),
    "timm's cosine with a floor and a warm-up": (
        partial(CosineLRScheduler, t_initial=0, lr_min=0.02, warmup_t=1, warmup_lr_init=0.05),
        lambda s: 0.5 if s < STEPS else 0.2 + 0.4 * (1 + math.cos(math.pi * (s // STEPS) / EPOCHS)),
    ),
    "rates of each group": (  # as they were written: the ratios are theirs
        partial(lr_scheduler.CyclicLR, base_lr=[0.05, 0.025, 0.00625], max_lr=[0.1, 0.05, 0.0125], step_size_up=2),
        lambda s: (0.5, 0.75, 1.0, 0.75)[s % 4],
    ),
    "MultiStepLR": (partial(lr_scheduler.MultiStepLR, milestones=[1, 3]), lambda s: 0.1 ** ((s >= 3) + (s >= 9))),
    "ReduceLROnPlateau": (
        partial(lr_scheduler.ReduceLROnPlateau, patience=0, threshold=1e9, threshold_mode="abs", eps=0),
        lambda s: 0.1 ** max(0, s // STEPS - 1),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_runs_on_over_a_release_and_keeps_the_ratios(name: str) -> None:
    schedule, expected = SCHEDULES[name]
    torch.manual_seed(0)
    net = CNN(channels=(4, 8), hidden_sizes=(), norm="batch")
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    arguments = {"unfreeze_at": (1, 2), "backbone_lr_ratio": 0.5, "layer_decay": 0.25}
    task = TransferTask(net, "gradual", optimizer=sgd, scheduler=schedule, **arguments)
    before, rates = net.features[0].weight.clone(), Rates()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        limit_train_batches=STEPS,
        limit_val_batches=1,
        callbacks=[rates],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(task, datamodule=FashionMNISTSample(batch_size=16))
    head = [0.1 * expected(step) for step in range(STEPS * EPOCHS)]
    assert [step[0] for step in rates.rates] == pytest.approx(head)
    for ratio, group in zip((0.5, 0.125), (1, 2), strict=True):
        assert [step[group] for step in rates.rates] == pytest.approx([ratio * rate for rate in head])
    assert not torch.equal(net.features[0].weight, before)


# ---- from the command line -------------------------------------------------------------------------------------------

STOP = """
import os, signal
from lightning.pytorch.callbacks import Callback

class StopAt(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
"""
NET = ["--model.net.channels=[4,6,8]", "--model.net.hidden_sizes=[]", "--model.net.norm=batch"]
TRANSFER = [
    "--model=TransferTask",
    "--model.net=CNN",
    *NET,
    "--model.net.dropout=0.2",
    "--model.scheduler=WarmupCosineLR",
]
RUN = ["--trainer.limit_train_batches=3", "--trainer.enable_progress_bar=false", "--data.batch_size=32"]
GRADUAL = [*TRANSFER, *RUN, "--model.mode=gradual", "--model.unfreeze_at=[1,2]", "--trainer.max_epochs=3"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run undisturbed."""
    from cnnkit.cli import main

    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CNNKIT_PRECISION", "32-true")
        patch.delenv("PL_GLOBAL_SEED", raising=False)
        assert main(["fit", *GRADUAL, "--name=whole"]) == 0
    return folder / "runs"


@pytest.mark.parametrize("step", [*(pytest.param(step, marks=pytest.mark.slow) for step in (2, 3, 4, 6)), 7])
def test_a_stopped_run_is_released_as_if_nothing_had_been(cli: Cli, whole: Path, step: int) -> None:
    Path("stop.py").write_text(STOP)
    stop = json.dumps([{"class_path": "stop.StopAt", "init_args": {"step": step}}])
    assert cli("fit", *GRADUAL, "--name=stopped", f"--trainer.callbacks={stop}").code == 143
    run = find("runs/stopped")
    assert torch.load(run.last, weights_only=True)["global_step"] == step
    ended = cli("fit", "--resume", str(run))
    assert ended.code == 0, ended.err
    one, other = (torch.load(path.last, weights_only=True) for path in (run, find(whole)))
    assert all(torch.equal(one["state_dict"][key], other["state_dict"][key]) for key in other["state_dict"])
    states, expected = (c["optimizer_states"][0]["state"] for c in (one, other))
    assert states.keys() == expected.keys()
    assert all(torch.equal(states[i]["exp_avg"], expected[i]["exp_avg"]) for i in expected)


@pytest.mark.slow
def test_a_run_goes_on_in_another_as_its_weights(cli: Cli, whole: Path) -> None:
    """A linear probe, then all of it, from the run folder; the checkpoint alone rebuilds the task."""
    shutil.copytree(whole, "runs")
    words = [*TRANSFER, *RUN, "--trainer.max_epochs=1", f"--model.weights={find('runs/whole')}"]
    ended = cli("fit", *words, "--model.mode=frozen", "--model.head_sizes=[5]", "--name=probe")
    assert ended.code == 0, ended.err
    assert "eval mode" not in ended.err
    probe = find("runs/probe")
    words[-1] = f"--model.weights={probe}"
    assert cli("fit", *words, "--model.keep_head=true", "--model.head_sizes=[5]", "--name=all").code == 0
    shutil.rmtree("runs/whole")  # whose weights are in the checkpoint now
    assert cli("test", "--run", str(probe)).code == 0
    task = TransferTask.load_from_checkpoint(probe.best)
    saved = torch.load(probe.best, weights_only=True)["state_dict"]
    assert all(torch.equal(task.state_dict()[key], saved[key]) for key in saved)
    assert task.mode == "frozen"
