"""Loggers beside TensorBoard get the numbers, the settings and the pictures."""

import csv
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger, Logger
from PIL import Image
from small_runs import SMALL, WATCHED

from cnnkit import CNN, ClassificationTask, FashionMNISTSample
from cnnkit.cli import main
from cnnkit.dashboards import Kernels
from cnnkit.dashboards.board import Board
from cnnkit.runs import find


class Silent(Logger):
    """Takes numbers and no pictures."""

    name, version = "silent", ""

    def log_metrics(self, *args: Any, **kwargs: Any) -> None: ...

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


class LikeWandb(Silent):
    """Takes pictures as Lightning's WandbLogger does."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[tuple[str, int | None], Any] = {}

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.pictures[key, step] = images[0]


class LikeComet(LikeWandb):
    """Its experiment takes pictures, as Comet's does."""

    log_image = None  # type: ignore[assignment]

    @property
    def experiment(self) -> Any:
        def log_image(image_data: Any, name: str, step: int) -> None:
            self.pictures[name, step] = image_data

        return SimpleNamespace(log_image=log_image)


class Broken(LikeWandb):
    """Its server is gone."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.pictures[key, step] = None
        raise ConnectionError("no route to host\nand more")


@pytest.mark.parametrize("kind", [LikeWandb, LikeComet])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_arrives_as_it_is(kind: type[LikeWandb], channels: int) -> None:
    logger, picture = kind(), torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    Board([logger], step=3).add_picture("net/kernels", picture)
    shown = logger.pictures["net/kernels", 3]
    assert isinstance(shown, Image.Image)
    assert np.array_equal(np.asarray(shown), picture.expand(3, 5, 7).permute(1, 2, 0).numpy())


def test_without_tensorboard_the_dashboards_draw_in_the_logger_there_is(tmp_path: Path) -> None:
    logger = LikeWandb()
    limits: dict[str, Any] = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1}
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = L.Trainer(
        default_root_dir=tmp_path, accelerator="cpu", logger=logger, callbacks=[Kernels()], **limits, **quiet
    )
    trainer.fit(ClassificationTask(CNN(channels=(4, 8), hidden_sizes=(16,))), datamodule=FashionMNISTSample())
    assert [tag for tag, _ in logger.pictures] == ["net/kernels"]


def test_a_logger_that_fails_is_named_once_and_gets_no_more_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, tensorboard = Broken(), TensorBoardLogger(tmp_path)
    for step in (1, 2):
        board = Board([broken, tensorboard], step)
        board.add_picture("one", torch.zeros(1, 2, 2, dtype=torch.uint8))
        board.add_picture("two", torch.zeros(1, 2, 2, dtype=torch.uint8))
    assert capsys.readouterr().err == "no pictures in Broken: ConnectionError: no route to host\n"
    assert list(broken.pictures) == [("one", 1)]


def test_a_logger_that_takes_no_pictures_opens_no_board() -> None:
    assert not Board([Silent(), DummyLogger()], 0)


@pytest.mark.slow
def test_mlflow_has_the_settings_the_numbers_and_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    words = ["--trainer.logger+=lightning.pytorch.loggers.MLFlowLogger", "--trainer.logger.tracking_uri=sqlite:///m.db"]
    assert main(["fit", *SMALL, WATCHED, *words]) == 0
    with sqlite3.connect("m.db") as database:
        metrics = dict(database.execute("select key, value from metrics order by step").fetchall())
        params = dict(database.execute("select key, value from params").fetchall())
    assert params["model.net.dropout"] == "0.2"
    with find("runs").metrics.open(newline="") as file:
        recorded = [row["val/acc"] for row in csv.DictReader(file) if row["val/acc"]]
    assert metrics["val/acc"] == pytest.approx(float(recorded[-1]))
    files = {path.name.partition("+")[0] for path in Path("mlruns").rglob("images/*")}
    assert {"val~confusion", "val~reliability", "net~kernels", "train~augmented"} <= files
