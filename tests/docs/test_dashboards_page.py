"""The page on dashboards names the public callbacks, and each of them draws for a plain trainer."""

import importlib
import inspect
import re
from pathlib import Path

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import cnnkit.callbacks
import cnnkit.dashboards
from cnnkit import CNN, ClassificationTask, FashionMNISTSample

PAGE = (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## The parts")[2].partition("\n## ")[0]
NAMES = sorted({name for row in TABLE.splitlines() for name in re.findall(r"`(\w+)` \|$", row)})
FEW = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "enable_progress_bar": False}


def find_callback(name: str) -> type[Callback]:
    home = "cnnkit.callbacks" if name == "Memory" else "cnnkit.dashboards"
    found = getattr(importlib.import_module(home), name)
    assert name in importlib.import_module(home).__all__
    assert issubclass(found, Callback)
    return found  # type: ignore[no-any-return]


def test_the_table_has_every_callback_that_draws() -> None:
    public = {name: getattr(cnnkit.dashboards, name) for name in cnnkit.dashboards.__all__}
    kinds = {name for name, kind in public.items() if inspect.isclass(kind) and issubclass(kind, Callback)}
    assert set(NAMES) == {*kinds - {"AfterValidation"}, "Memory"}  # the base of some


def test_each_draws_for_a_plain_trainer(tmp_path: Path) -> None:
    own = [name for name in NAMES if name != "HParams"]  # it needs the settings of a run
    callbacks = [find_callback(name)() for name in own]
    logger = TensorBoardLogger(tmp_path)
    trainer = L.Trainer(logger=logger, callbacks=callbacks, enable_checkpointing=False, log_every_n_steps=1, **FEW)
    data = FashionMNISTSample(batch_size=32, eval_batch_size=100)
    trainer.fit(ClassificationTask(CNN(**data.shape, channels=(4, 8))), datamodule=data)
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    drawn = " ".join([*events.Tags()["images"], *events.Tags()["scalars"], *events.Tags()["tensors"]])
    for tag in (
        "val/confusion",
        "val/reliability",
        "val/mistakes",
        "net/kernels",
        "maps/",
        "train/augmented",
        "memory/",
    ):
        assert tag in drawn


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in FEW.items():
        monkeypatch.setenv(f"PL_TRAINER_{name.upper()}", str(value))
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "dashboards.md", "exec"), {"__name__": "page"})
    assert list(tmp_path.glob("logs/*/*/events.out.*"))
