"""cnnkit.fit: what the command does, from Python."""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import SHORT, SMALL

import cnnkit
from cnnkit.cli import main
from cnnkit.errors import UserError
from cnnkit.runs import find

VALUES: dict[str, Any] = {
    "model.net.channels": (4, 8),
    "model.net.hidden_sizes": [np.int64(16)],
    "model.net.dropout": 0.2,
    "model.scheduler": "WarmupCosineLR",
    "data.batch_size": 32,
    "watch": None,
    "trainer.precision": "32-true",
    **{word.removeprefix("--").partition("=")[0]: word.partition("=")[2] for word in SHORT},
}


def load_weights(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if name.startswith("net.")}


def list_files(folder: Path) -> set[str]:
    return {path.name.partition(".tfevents.")[0] for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> cnnkit.TrainedRun:
    return cnnkit.fit(**VALUES, **{"trainer.default_root_dir": tmp_path_factory.mktemp("api")})


def test_it_leaves_the_run_of_the_command(run: cnnkit.TrainedRun, tmp_path: Path) -> None:
    assert main(["fit", *SMALL, "--trainer.precision=32-true", f"--trainer.default_root_dir={tmp_path}"]) == 0
    theirs = find(tmp_path)
    ours, others = load_weights(run.path), load_weights(theirs.path)
    assert all(torch.equal(ours[name], others[name]) for name in others)
    assert list_files(run.path) == list_files(theirs.path)
    assert run.manifest["status"] == "finished"
    assert run.best["val/acc"] == theirs.manifest()["best"]["val/acc"]


def test_a_run_is_tested_predicts_and_shows_itself(run: cnnkit.TrainedRun) -> None:
    scores = run.test()
    assert 0 <= scores["test/acc"] <= 1
    predictions = run.predict(np.zeros((2, 28, 28, 1), np.uint8))
    assert len(predictions) == 2
    assert "test/acc" in repr(run)
    assert str(run.path) in repr(run)
    assert run._repr_html_().count("<img") == 1
    assert run.metrics[-1]["val/acc"] == pytest.approx(run.best["val/acc"], abs=1e-6)


def test_it_leaves_what_belongs_to_the_process_alone(tmp_path: Path) -> None:
    before, filters = dict(os.environ), list(warnings.filters)
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric", "pytorch.utilities.rank_zero")]
    levels = [logging.INFO, logging.INFO, logging.NOTSET]  # Lightning's own
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
        logger.filters.clear()
    ranks = {"trainer.strategy": "ddp", "trainer.accelerator": "cpu", "trainer.devices": 1}
    own = {"trainer.default_root_dir": str(tmp_path), "trainer.deterministic": True, "trainer.benchmark": True}
    cnnkit.fit(**VALUES, **ranks, **own)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert dict(os.environ) == before
    assert list(warnings.filters) == filters
    assert [(logger.level, logger.filters) for logger in loggers] == [(level, []) for level in levels]
    assert not torch.distributed.is_initialized(), "metrics of a later fit would wait for ranks that are gone"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"trainer.max_epoch": 3}, "max_epochs"),
        ({"model.net": object()}, "object does not say how it was made"),
        ({"data.batch_size": -1}, "batch_size"),
        ({"trainer.fast_dev_run": True}, "leave no run"),
    ],
)
def test_mistakes_are_user_errors(
    values: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        cnnkit.fit("quickstart", **values)
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_run_is_resumed(tmp_path: Path) -> None:
    short = cnnkit.fit(**VALUES, **{"trainer.default_root_dir": tmp_path})
    longer = cnnkit.fit(resume=short.path, **{"trainer.max_epochs": 2})
    assert longer.path == short.path
    assert longer.manifest["epochs"] == 2
