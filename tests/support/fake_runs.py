"""Run folders without a run: a manifest, a configuration, predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import Predictions

CLASSES = 4


def fake_run(
    path: str | Path,
    *,
    seed: int = 0,
    net: str = "CNN",
    dropout: float = 0.0,
    started: str = "2026-01-01T00:00:00+00:00",
    correct: Any = None,
    labels: Any = None,
    data: dict[str, Any] | None = None,
    **entries: Any,
) -> Path:
    """Make one.

    Args:
        path: the folder.
        seed: of the run.
        net: the net's class.
        dropout: a number of the configuration.
        started: when.
        correct: which test images it gets right; not given, it was not tested.
        labels: of the test images; made up, and the same every time, if not given.
        data: changes to what the manifest says of the data.
        entries: of the manifest; None leaves one out.
    """
    path = Path(path)
    path.mkdir(parents=True)
    arguments = {"net": {"class_path": f"cnnkit.{net}", "init_args": {"channels": [4, 8], "dropout": dropout}}}
    config = {
        "seed_everything": seed,
        "trainer": {"max_epochs": 2, "default_root_dir": None},
        "model": {"class_path": "cnnkit.ClassificationTask", "init_args": arguments},
        "data": {"class_path": "cnnkit.FashionMNISTSample", "init_args": {"batch_size": 32}},
        "name": path.parent.name,
    }
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    facts = {"name": "Made", "fingerprint": "f0", "split": "s0", "split_seed": 0, "train_images": 90, "val_images": 10}
    manifest = {
        "command": "python -m cnnkit fit",
        "code": "c0",
        "seed": seed,
        "machine": {"cpu": "abacus", "threads": 1},
        "status": "finished",
        "started": started,
        "data": facts | (data or {}),
        "net": {"class": net, "parameters": 1234},
        "last": {"val/acc": 0.5, "val/loss": 1.5, "train/acc": 0.6},
        "best": {"val/acc": 0.625, "epoch": 1, "step": 3},
        "times": {"fit_seconds": 100.0, "train_seconds": 90.0},
        "epochs": 2,
    }
    if correct is not None:
        found = fake_predictions(correct, labels)
        found.save(RunFolder(path).predictions)
        manifest |= {"test": {"test/acc": found.accuracy, "test/loss": 1.0}, "test_looks": 1}
    manifest = {key: value for key, value in {**manifest, **entries}.items() if value is not None}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def fake_predictions(correct: Any, labels: Any = None) -> Predictions:
    """What is wrong is taken for the next class."""
    right = np.asarray(correct, dtype=bool)
    if labels is None:
        labels = np.random.default_rng(1).integers(0, CLASSES, len(right))
    labels = np.asarray(labels).astype(np.int16)
    classes = int(labels.max()) + 1
    predicted = np.where(right, labels, (labels + 1) % classes).astype(np.int16)
    probabilities = np.full((len(right), classes), 0.3 / (classes - 1), np.float16)
    probabilities[np.arange(len(right)), predicted] = 0.7
    return Predictions(probabilities, predicted, labels, np.arange(len(right), dtype=np.int32))


def rightly(images: int, *wrong: range | list[int]) -> np.ndarray:
    """Which images are right if these are wrong."""
    right = np.ones(images, dtype=bool)
    for places in wrong:
        right[list(places)] = False
    return right
