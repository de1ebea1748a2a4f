"""Which epoch becomes best.ckpt: by the monitored score, ties by the validation loss, never by NaN."""

import math
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger
from small_runs import SMALL, Cli
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassF1Score

from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, FashionMNISTSample
from cnnkit.callbacks import BestCheckpoint, Memory, Throughput, WarnOnNaN, build_checkpoints
from cnnkit.errors import UserError
from cnnkit.metrics import build_accuracy
from cnnkit.runs import find

NAN = math.nan


class Scripted(L.LightningModule):
    """Logs of each epoch's validation what it is told to."""

    def __init__(self, epochs: list[dict[str, float]]) -> None:
        super().__init__()
        self.epochs, self.weight = epochs, torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight - 1) ** 2

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        for name, value in self.epochs[self.current_epoch].items():
            self.log(name, value)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(
    folder: Path, epochs: list[dict[str, float]], monitor: str = "val/acc", ckpt: str | None = None, until: int = 0
) -> BestCheckpoint:
    callbacks = build_checkpoints(folder, monitor)
    trainer = L.Trainer(
        max_epochs=until or len(epochs),
        callbacks=[*callbacks, WarnOnNaN()],
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = torch.utils.data.DataLoader(torch.zeros(2, 1))
    trainer.fit(Scripted(epochs), data, data, ckpt_path=ckpt)
    assert isinstance(callbacks[0], BestCheckpoint)
    return callbacks[0]


def scores(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"val/acc": acc, "val/loss": loss} for acc, loss in pairs]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        (scores((0.5, 0.9), (0.9, 0.4), (0.7, 0.1)), 2),
        (scores((1.0, 0.41), (1.0, 0.02), (1.0, 0.05)), 2),
        (scores((1.0, 0.41), (1.0, 0.41)), 1),
        (scores((0.5, 0.2), (1.0, 0.9), (1.0, 0.8)), 3),
        (scores((0.5, 0.5), (0.9, NAN), (0.4, 0.1)), 1),
        (scores((NAN, 0.5), (0.2, 0.6)), 2),
        (scores((0.9, math.inf), (0.2, 0.6)), 2),
        ([{"val/acc": 0.5}, {"val/acc": 0.5}, {"val/acc": 0.6}], 3),
    ],
)
def test_the_best_epoch(tmp_path: Path, epochs: list[dict[str, float]], best: int) -> None:
    found = fit(tmp_path, epochs)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == best - 1
    assert found.describe_best() == pytest.approx({**epochs[best - 1], "epoch": best, "step": 2 * best}, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_tie_is_broken_across_a_resume(tmp_path: Path) -> None:
    epochs = scores((0.8, 0.3), (1.0, 0.4), (1.0, 0.5), (1.0, 0.1), (1.0, 0.2))
    fit(tmp_path / "a", epochs, until=2)
    (tmp_path / "a").rename(tmp_path / "b")
    third = fit(tmp_path / "b", epochs, ckpt=str(tmp_path / "b/last.ckpt"), until=3)
    assert third.describe_best()["epoch"] == 2, "its loss of 0.4 is remembered"
    whole = fit(tmp_path / "b", epochs, ckpt=str(tmp_path / "b/last.ckpt"))
    assert whole.describe_best() == {"val/acc": 1.0, "val/loss": pytest.approx(0.1, rel=1e-6), "epoch": 4, "step": 8}
    assert torch.load(tmp_path / "b/best.ckpt", weights_only=True)["epoch"] == 3


@pytest.mark.filterwarnings("ignore")
def test_nothing_finite_is_no_best_and_is_said_once_an_epoch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = fit(tmp_path, scores((0.9, NAN), (0.9, NAN)))
    assert found.describe_best() == {}
    assert not (tmp_path / "best.ckpt").exists()
    assert (tmp_path / "last.ckpt").exists()
    said = [line for line in capfd.readouterr().err.splitlines() if "val/loss is nan" in line]
    assert [line[:8] for line in said] == ["epoch 1:", "epoch 2:"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("monitor", "best"), [("val/loss", 2), ("val/top1_error", 3), ("val/f1", 1)])
def test_the_direction_follows_from_the_name(tmp_path: Path, monitor: str, best: int) -> None:
    epochs = [{"val/loss": a, "val/top1_error": b, "val/f1": c} for a, b, c in [(3, 3, 3), (1, 2, 2), (2, 1, 1)]]
    assert fit(tmp_path, epochs, monitor).describe_best()["epoch"] == best


@pytest.mark.filterwarnings("ignore")
def test_the_first_validation_names_what_is_logged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"monitor: nothing is logged as 'val/f2'; .*there are val/acc, val/loss"):
        fit(tmp_path, scores((0.5, 0.5), (0.5, 0.5)), "val/f2")


class F1Task(ClassificationTask):
    def build_metrics(self) -> MetricCollection:
        return MetricCollection(
            {"acc": build_accuracy(), "f1": MulticlassF1Score(10), "each": MulticlassF1Score(10, average=None)}
        )


F1 = "test_best.F1Task"


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
        (["--monitor=nonsense"], "error: monitor: nothing is logged as 'nonsense'; there are val/acc, val/loss"),
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
