"""The score that `--monitor` chooses by: it is looked at before training, and mistakes are said."""

from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger
from small_runs import SMALL, Cli
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassF1Score

from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, FashionMNISTSample
from cnnkit.callbacks import Memory, Throughput
from cnnkit.metrics import build_accuracy
from cnnkit.runs import find


class F1Task(ClassificationTask):
    def build_metrics(self) -> MetricCollection:
        return MetricCollection(
            {"acc": build_accuracy(), "f1": MulticlassF1Score(10), "each": MulticlassF1Score(10, average=None)}
        )


F1 = "test_monitored_score.F1Task"


def test_an_own_metric_is_shown_and_chosen_by(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    ended = cli("fit", *SMALL, f"--model={F1}", "--monitor=val/f1", "--trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    run = find("runs")
    manifest = run.manifest()
    assert manifest["monitor"] == {"metric": "val/f1", "mode": "max"}
    rows = [line.split("  ") for line in ended.out.splitlines() if line.startswith("best val/f1")]
    assert rows[0][-1].strip().startswith(f"{manifest['best']['val/f1']:.4f} in epoch {manifest['best']['epoch']}")
    assert {"val/f1", "val/acc", "val/loss"} <= manifest["best"].keys()
    table = cli("runs").out
    assert "val/f1" in table.splitlines()[0]
    assert f"{manifest['best']['val/f1']:.4g}" in table
    assert cli("test", "--run", str(run), "--monitor=val/acc").code == 2
    tested = cli("test", "--run", str(run))
    assert tested.code == 0, tested.err
    assert "test/f1" in tested.out
    assert "test/f1" in cli("runs").out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--monitor=val/acuracy"],
            "monitor: nothing is logged as 'val/acuracy'; did you mean val/acc? there are val/acc",
        ),
        (["--monitor=test/acc"], "a choice by the test set is not honest"),
        (["--monitor=val/loss", "--data.val_size=0"], "nothing is validated: data.val_size is 0"),
        (["--mode=highest"], "mode"),
        ([f"--model={F1}", "--monitor=val/each"], "monitor: nothing is logged as 'val/each'"),
    ],
)
def test_a_metric_that_nobody_logs_ends_before_training(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    ended = cli("fit", *SMALL, *words)
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) <= 3
    assert not list(Path().glob("runs/*/*")), "no run folder is left behind"


def test_train_scores_can_be_monitored_where_nothing_is_validated(cli: Cli) -> None:
    words = ["--monitor=train/loss", "--data.val_size=0", "--trainer.max_epochs=2"]
    ended = cli("fit", *SMALL, *words)
    assert ended.code == 0, ended.err
    manifest = find("runs").manifest()
    assert manifest["monitor"] == {"metric": "train/loss", "mode": "min"}
    assert manifest["best"]["train/loss"] == min(manifest["best"]["train/loss"], manifest["last"]["train/loss"])


STOP = "lightning.pytorch.callbacks.EarlyStopping"


def test_other_monitors_are_looked_at_before_training(cli: Cli) -> None:
    stop = ["--trainer.callbacks", f"[{{class_path: {STOP}, init_args: {{monitor: val/acuracy}}}}]"]
    ended = cli("fit", *SMALL, *stop)
    assert ended.code == 2
    assert "monitor of EarlyStopping: nothing is logged as 'val/acuracy'; did you mean val/acc?" in ended.err
    assert not list(Path().glob("runs/*/*"))
    plateau = ["--model.scheduler=ReduceLROnPlateau", "--model.monitor=val/los"]
    words = [word for word in SMALL if "scheduler" not in word]
    ended = cli("fit", *words, *plateau)
    assert ended.code == 2
    assert "monitor of ReduceLROnPlateau: nothing is logged as 'val/los'; did you mean val/loss?" in ended.err


def test_a_monitor_the_wrong_way_round_is_said(cli: Cli) -> None:
    stop = ["--trainer.callbacks", f"[{{class_path: {STOP}, init_args: {{monitor: val/acc}}}}]"]
    ended = cli("fit", *SMALL, *stop)
    assert ended.code == 0
    assert "EarlyStopping looks at val/acc with mode min" in ended.err
    assert "give mode: max" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--monitor=nonsense"], "error: monitor: nothing is logged as 'nonsense'; there are val/acc, val/acc_bal"),
        (["--monitor=train/los"], "error: monitor: nothing is logged as 'train/los'; did you mean train/loss?"),
        (["--monitor=lr-SGD"], "error: monitor: nothing is logged as 'lr-SGD'; there are"),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=nonsense"],
            "error: trainer.callbacks: monitor of EarlyStopping: nothing is logged as 'nonsense'",
        ),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=nonsense"],
            "error: trainer.callbacks: monitor of ModelCheckpoint: nothing is logged as 'nonsense'",
        ),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss", "--data.val_size=0"],
            "error: trainer.callbacks: monitor of EarlyStopping: nothing is logged as 'val/loss'",
        ),
        (
            ["--model.scheduler=ReduceLROnPlateau", "--model.monitor=nonsense"],
            "error: model.monitor of ReduceLROnPlateau: nothing is logged as 'nonsense'",
        ),
    ],
)
def test_a_name_without_val_is_looked_at_before_training_too(cli: Cli, words: list[str], said: str) -> None:
    ended = cli("fit", *[word for word in SMALL if "scheduler" not in word], *words)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert not list(Path().glob("runs/*/*")), "no run folder is left behind"


def test_what_callbacks_log_and_an_epoch_without_validation_can_be_monitored(cli: Cli) -> None:
    saver = "{class_path: ModelCheckpoint, init_args: {monitor: step, mode: max}}"
    stop = "{class_path: EarlyStopping, init_args: {monitor: val/loss}}"
    words = ["--monitor=images_per_second", "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=2"]
    ended = cli("fit", *SMALL, *words, f"--trainer.callbacks=[{saver}, {stop}]")
    assert ended.code == 0, ended.err
    assert find("runs").manifest()["monitor"] == {"metric": "images_per_second", "mode": "max"}


@pytest.mark.filterwarnings("ignore")
def test_the_trial_finds_what_is_logged(tmp_path: Path) -> None:
    """What is said to be logged before training is what a training logs."""
    from cnnkit.callbacks.logged import find_logged_metrics

    data = FashionMNISTSample(batch_size=16)
    for task in (F1Task(CNN(1, 10, 28, channels=(4,))), AuxiliaryLossTask(CNN(1, 10, 28), after=["features.0"])):
        limits = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "log_every_n_steps": 1}
        own = [Throughput(), Memory(), LearningRateMonitor(log_momentum=True)]
        logger = TensorBoardLogger(tmp_path)
        trainer = L.Trainer(**limits, logger=logger, enable_progress_bar=False, callbacks=own)
        trainer.fit(task, datamodule=data)
        assert set(trainer.callback_metrics) == find_logged_metrics(trainer, task)
        assert {"val/loss", "val/acc", "train/loss", "images_per_second", "lr-Adam"} <= trainer.callback_metrics.keys()
