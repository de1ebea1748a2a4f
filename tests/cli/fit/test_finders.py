"""Lightning's finders of a learning rate and of a batch size: what they find trains, and is what is recorded."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner import Tuner
from small_runs import SMALL, Cli

from cnnkit.data import FashionMNISTSample
from cnnkit.models import CNN
from cnnkit.optim import WarmupCosineLR
from cnnkit.runs import RunFolder, find
from cnnkit.tasks import ClassificationTask, TransferTask

RATE = ["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps=25"]
RATE += ["--trainer.limit_train_batches=20", "--trainer.max_epochs=2"]
SIZE = ["--trainer.callbacks+=BatchSizeFinder", "--trainer.callbacks.max_val=64", "--trainer.max_epochs=2"]


def logged(run: RunFolder, prefixes: tuple[str, ...] = ("train/", "val/", "lr-")) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(run.metrics.read_text()))
    return [{key: value for key, value in row.items() if key.startswith(prefixes)} for row in rows]


@pytest.mark.parametrize(("words", "key"), [(RATE, "model.optimizer.lr"), (SIZE, "data.batch_size")])
def test_what_is_found_trains_and_is_recorded(
    fit: Callable[..., RunFolder], cli: Cli, words: list[str], key: str
) -> None:
    run = fit(*words)
    found = run.manifest()["tuned"][key]
    config = yaml.safe_load(run.config.read_text())
    held = config["model"]["init_args"]["optimizer"] if key.startswith("model") else config["data"]
    assert held["init_args"][key.rsplit(".", 1)[-1]] == found
    assert found not in (0.001, 32)
    assert config["trainer"]["callbacks"] is None  # it has done its work: a resume must not look again
    assert not list(run.path.rglob(".*.ckpt"))
    # The same as if somebody had known it from the start, step by step: weights, order, schedule.
    assert cli("fit", "--config", str(run.config), "--name=known").code == 0
    assert logged(find("runs/known")) == logged(run)
    assert cli("fit", "--resume", str(run), "--trainer.max_epochs=3").code == 0
    assert cli("test", "--run", str(run), "--trainer.limit_test_batches=1").code == 0


def test_a_rate_that_is_only_suggested_is_said(cli: Cli) -> None:
    ended = cli("fit", *SMALL, *RATE, "--trainer.callbacks.update_attr=false", "--trainer.max_epochs=2")
    assert "LearningRateFinder suggests" in ended.out
    assert "keeps its own, 0.001" in ended.out
    assert "tuned" not in find("runs").manifest()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--trainer.limit_train_batches=3"], "too few for a suggestion"),
        (["--model.optimizer=MuonSGD"], "MuonSGD has several (lr, matrix_lr, vector_lr)"),
        (
            [
                "--model.scheduler=torch.optim.lr_scheduler.OneCycleLR",
                "--model.scheduler.max_lr=0.1",
                "--model.scheduler.total_steps=40",
            ],
            "max_lr",
        ),
    ],
)
def test_a_finder_without_effect_is_refused(cli: Cli, words: list[str], reason: str) -> None:
    ended = cli("fit", *SMALL, *RATE, *words)
    assert ended.code == 2
    assert "LearningRateFinder" in ended.err
    assert reason in ended.err
    assert not Path("runs").exists()


def task_and_data(kind: type[ClassificationTask] = ClassificationTask) -> tuple[ClassificationTask, FashionMNISTSample]:
    torch.manual_seed(0)
    data = FashionMNISTSample(batch_size=32)
    net = CNN(**data.shape, channels=(4, 8), hidden_sizes=(16,))
    return kind(net, scheduler=WarmupCosineLR), data


def test_the_tuner_of_python_works_on_our_tasks_and_data(tmp_path: Path) -> None:
    task, data = task_and_data()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = L.Trainer(max_epochs=1, limit_train_batches=30, limit_val_batches=1, default_root_dir=tmp_path, **quiet)
    tuner = Tuner(trainer)
    found = tuner.lr_find(task, datamodule=data, num_training=25)
    assert found is not None
    assert task.lr == found.suggestion()
    tuner.scale_batch_size(task, datamodule=data, init_val=16, max_trials=3)
    assert data.batch_size == 64
    trainer.fit(task, datamodule=data)
    assert trainer.optimizers[0].param_groups[0]["initial_lr"] == task.lr
    assert len(trainer.train_dataloader.indices) == 9000
    assert trainer.train_dataloader.batch_size == 64


def test_a_batch_size_that_is_scaled_stops_at_the_number_of_images() -> None:
    data = FashionMNISTSample(batch_size=10**6)
    assert data.batch_size == 10**6  # so that a wrong one is refused when the data is there
    data.setup()
    data.batch_size = 10**6
    assert data.batch_size == 9000


class Watched(TransferTask):
    """Keeps the ratios of the groups' rates in each step."""

    ratios: set[tuple[float, ...]]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        first, *others = (group["lr"] for group in optimizer.param_groups)
        self.ratios = getattr(self, "ratios", set()) | {tuple(round(rate / first, 6) for rate in others)}


def test_a_found_rate_keeps_the_ratios_of_the_groups(tmp_path: Path) -> None:
    task, data = task_and_data(Watched)
    finder = LearningRateFinder(num_training_steps=25)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    limits = {"max_epochs": 1, "limit_train_batches": 30, "limit_val_batches": 1}
    trainer = L.Trainer(callbacks=[finder], default_root_dir=tmp_path, **limits, **quiet)
    trainer.fit(task, datamodule=data)
    head, *backbone = (group["initial_lr"] * group.get("lr_ratio", 1) for group in trainer.optimizers[0].param_groups)
    assert head == finder.optimal_lr.suggestion()
    assert all(rate == pytest.approx(head / 10) for rate in backbone)
    assert {ratio for ratios in task.ratios for ratio in ratios} == {0.1}  # also during the search
