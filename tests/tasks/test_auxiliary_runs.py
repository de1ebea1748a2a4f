"""Auxiliary heads from the command line: what a run logs, a stop and its resume, a checkpoint, mistakes."""

import csv
import json
from pathlib import Path

import pytest
import torch
from small_runs import SHORT, Cli

from cnnkit import CNN, AuxiliaryLossTask
from cnnkit.runs import RunFolder, find

HEADS = ["features.2", "features.5"]


COMMAND = ["fit", "--model=AuxiliaryLossTask", "--model.net.channels=[4,8]", "--model.net.hidden_sizes=[16]"]
COMMAND += ["--model.net.dropout=0.2", "--model.decay=linear", "--model.scheduler=WarmupCosineLR", *SHORT]
COMMAND += ["--data.batch_size=32", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"]
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


def rows(run: RunFolder) -> list[dict[str, str]]:
    of_the_machine = ("images_per_second", "memory/peak_mb")
    with run.metrics.open() as file:
        return [{k: v for k, v in row.items() if k not in of_the_machine} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_run_logs_its_heads_and_goes_on_as_if_nothing_had_been(cli: Cli) -> None:
    Path("stop_at.py").write_text(STOP)
    words = [*COMMAND, "--model.after=[features.2,features.5]", "--model.weight=[0.3,0.2]"]
    assert cli(*words, "--name=whole").code == 0
    stop = json.dumps([{"class_path": "stop_at.StopAt", "init_args": {"step": 2}}])
    assert cli(*words, "--name=stopped", f"--trainer.callbacks={stop}").code == 143
    assert cli("fit", "--resume", "runs/stopped").code == 0
    whole, stopped = find("runs/whole"), find("runs/stopped")
    assert rows(whole) == rows(stopped)
    keys = {key for row in rows(whole) for key, value in row.items() if value}
    heads = {f"train/{kind}_aux/{name}" for kind in ("loss", "acc") for name in HEADS}
    assert heads | {"train/loss", "train/loss_main", "train/acc", "val/loss"} <= keys
    a, b = (torch.load(run.last, weights_only=True)["state_dict"] for run in (whole, stopped))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_checkpoint_rebuilds_the_task_and_the_plain_net(cli: Cli) -> None:
    assert cli(*COMMAND, "--model.after+=features.2", "--model.after+=features.5", "--name=a").code == 0
    run = find("runs/a")
    task = AuxiliaryLossTask.load_from_checkpoint(run.best, weights_only=True)
    assert (task.after, list(task.weights.values()), task.decay) == (HEADS, [0.3, 0.3], "linear")
    saved = torch.load(run.best, weights_only=True)["state_dict"]
    assert all(torch.equal(task.state_dict()[key], saved[key]) for key in saved)
    plain = CNN(channels=(4, 8), hidden_sizes=(16,), dropout=0.2).to(memory_format=torch.channels_last)
    plain.load_state_dict({k.removeprefix("net."): v for k, v in saved.items() if k.startswith("net.")})
    images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain.eval()(images), task.eval()(images))
    assert cli("test", "--run", "runs/a").code == 0


def test_heads_from_a_configuration_and_mistakes_in_it(cli: Cli) -> None:
    net_config = "{class_path: CNN, init_args: {channels: [4, 8], hidden_sizes: [16]}}"
    Path("c.yaml").write_text(
        f"model:\n  class_path: AuxiliaryLossTask\n  init_args:\n    net: {net_config}\n"
        "    after: [features.2]\n    weight: {features.2: 0.4}\n"
        "data: {class_path: FashionMNISTSample, init_args: {batch_size: 32}}\n"
    )
    ended = cli("fit", "--config", "c.yaml", *SHORT)
    assert ended.code == 0, ended.err
    assert "train/loss_aux/features.2" in find("runs/c").manifest()["last"]
    ended = cli("fit", "--config", "c.yaml", *SHORT, "--model.after=[feature.2]", "--model.weight=0.3")
    assert ended.code == 2
    assert "CNN has no module 'feature.2'; there are features.2" in ended.err
    ended = cli("fit", "--model=AuxiliaryLossTask", *SHORT)
    assert ended.code == 2
    assert "CNN has no forward_aux, and so no heads" in ended.err


@pytest.mark.slow
def test_googlenet_brings_its_own_heads(cli: Cli) -> None:
    words = ["fit", "--model=AuxiliaryLossTask", "--model.net=GoogLeNet", *SHORT, "--trainer.limit_train_batches=1"]
    ended = cli(
        *words, "--name=g", "--trainer.limit_val_batches=1", "--data.batch_size=16", "--data.eval_batch_size=16"
    )
    assert ended.code == 0, ended.err
    assert {"train/loss_aux/aux1", "train/loss_aux/aux2"} <= find("runs/g").manifest()["last"].keys()
