"""The callbacks in a plain Trainer, without the command line."""

import io
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from cnnkit import CNN, ClassificationTask, FashionMNISTSample
from cnnkit.callbacks import EMA, Diverged, EpochProgress, StopOnNaN, Throughput, build_checkpoints
from cnnkit.dashboards import RunPictures
from cnnkit.dashboards.validation_images import to_pictures
from cnnkit.loggers import TensorBoard
from cnnkit.reporting.grids import tile


def task(**kwargs: Any) -> ClassificationTask:
    L.seed_everything(0, verbose=False)
    return ClassificationTask(CNN(channels=(4, 8), hidden_sizes=(16,), norm="batch"), **kwargs)


def trainer(folder: Path, *callbacks: Callback, **kwargs: Any) -> L.Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    short = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "limit_test_batches": 1}
    if not any(isinstance(c, EpochProgress) for c in callbacks):
        quiet["enable_progress_bar"] = False
    return L.Trainer(
        default_root_dir=folder, accelerator="cpu", callbacks=list(callbacks), **{**quiet, **short, **kwargs}
    )


class Spy(Callback):
    """Calls a function at a hook."""

    def __init__(self, hook: str, function: Any) -> None:
        setattr(self, hook, lambda *args, **kwargs: function(*args, **kwargs))


def test_ema_is_what_is_validated_saved_and_tested(tmp_path: Path) -> None:
    seen: dict[str, Tensor] = {}

    def keep(stage: str) -> Any:
        return lambda _, module, *args: seen.update({stage: module.net.features[0].weight.detach().clone()})

    spies = Spy("on_test_start", keep("test")), Spy("on_validation_batch_end", keep("val"))
    run = trainer(tmp_path, EMA(decay=0.5), *build_checkpoints(tmp_path), *spies)
    run.fit(task(), datamodule=FashionMNISTSample())
    run.test(ckpt_path=str(tmp_path / "last.ckpt"), datamodule=FashionMNISTSample(), verbose=False)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    averaged = saved["state_dict"]["net.features.0.weight"]
    raw = saved["current_model_state"]["net.features.0.weight"]
    assert not torch.equal(averaged, raw)
    assert torch.equal(seen["test"], averaged)
    assert torch.equal(seen["val"], averaged)


def test_ema_is_the_average_of_the_weights_after_each_step(tmp_path: Path) -> None:
    after: list[Tensor] = []
    spy = Spy("on_train_batch_end", lambda _, module, *a: after.append(module.net.features[0].weight.detach().clone()))
    model = task()
    run = trainer(tmp_path, EMA(decay=0.5), spy, *build_checkpoints(tmp_path), max_epochs=1)
    run.fit(model, datamodule=FashionMNISTSample())
    expected = after[0]  # the average starts as a copy
    for weight in after[1:]:
        expected = 0.5 * expected + 0.5 * weight
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["net.features.0.weight"]
    torch.testing.assert_close(saved, expected)


@pytest.mark.parametrize("at", [1, 4])
def test_a_loss_that_is_no_number_ends_the_run_before_it_reaches_a_checkpoint(tmp_path: Path, at: int) -> None:
    class Bad(ClassificationTask):
        def compute_loss(self, batch: Any) -> tuple[Tensor, Tensor]:
            loss, logits = super().compute_loss(batch)
            return loss * (math.nan if self.global_step == at else 1), logits

    run = trainer(tmp_path, StopOnNaN(), *build_checkpoints(tmp_path))
    with pytest.raises(Diverged, match=r"no finite number at or before step .*lower the learning rate"):
        run.fit(Bad(CNN(channels=(4, 8), hidden_sizes=(16,))), datamodule=FashionMNISTSample())
    files = list(tmp_path.glob("*.ckpt"))
    assert bool(files) == (at == 4)
    for file in files:
        state = torch.load(file, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_throughput_counts_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def passes(seconds: float) -> Any:
        return lambda *args: clock.__setitem__(0, clock[0] + seconds)

    work = Spy("on_train_batch_start", passes(0.5)), Spy("on_validation_batch_start", passes(100.0))
    counter = Throughput()
    run = trainer(tmp_path, counter, *work, enable_checkpointing=False)
    run.fit(task(), datamodule=FashionMNISTSample(batch_size=64))
    assert run.callback_metrics["images_per_second"] == pytest.approx(3 * 64 / 1.5)
    assert (counter.train_images, counter.train_seconds) == (2 * 3 * 64, pytest.approx(3.0))


def test_progress_is_one_line_an_epoch_in_a_file_and_reads_no_device_value_in_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = EpochProgress()
    file = io.StringIO()
    progress.console = Console(file=file, soft_wrap=True, highlight=False)

    def steps(forbidden: bool) -> Any:
        def refuse(self: Tensor) -> Any:
            raise AssertionError("a progress bar that reads values makes the host wait for the device")

        return lambda *args: monkeypatch.setattr(Tensor, "item", refuse) if forbidden else monkeypatch.undo()

    batch_end = progress.on_train_batch_end

    def guarded(*args: Any) -> None:
        steps(True)()
        batch_end(*args)
        steps(False)()

    progress.on_train_batch_end = guarded  # type: ignore[method-assign]
    trainer(tmp_path, progress, enable_checkpointing=False).fit(task(), datamodule=FashionMNISTSample())
    lines = file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  train/loss ")
    assert all(name in lines[1] for name in ("epoch 2/2", "train/acc", "val/loss", "val/acc"))


def test_pictures_are_drawn_once_and_drawing_changes_nothing(tmp_path: Path) -> None:
    results = []
    for name in ("with", "without"):
        folder = tmp_path / name
        pictures = [RunPictures(images=16)] if name == "with" else []
        model = task()
        run = trainer(folder, *pictures, logger=TensorBoard(folder), enable_checkpointing=False)
        run.fit(model, datamodule=FashionMNISTSample())
        run.loggers[0].save()
        results.append(model.state_dict())
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])  # batch norm's statistics, too
    events = EventAccumulator(str(tmp_path / "with")).Reload()
    assert len(events.Images("train/augmented")) == 1
    assert events.Tags()["graph"]


def test_the_grid_shows_the_images_in_their_own_gray_values() -> None:
    data = FashionMNISTSample()
    data.setup()
    batch = data.test_dataloader().batch(0, 0)
    images, _ = data.prepare(batch, training=False)
    grid = tile(to_pictures(SimpleNamespace(datamodule=data), images[:8]), fill=0)
    assert grid.shape == (1, 32, 242)
    assert torch.equal(grid[0, 2:30, 2:30], batch.images[0, 0])
