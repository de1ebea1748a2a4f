"""What can be found out about a run: its numbers, predictions, net and images, as far as they are there."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnkit.cli.parsing.build import build_data
from cnnkit.cli.task_loading import load_task
from cnnkit.data import ImageDataModule
from cnnkit.errors import UserError
from cnnkit.metric_names import MONITOR
from cnnkit.runs import RunFolder
from cnnkit.runs.metrics import read_metrics
from cnnkit.runs.predictions import Predictions, load_predictions
from cnnkit.stats.calibration import Calibration, bin_predictions


@dataclass
class Found:
    """What there is of a run; what is missing stays None, and a sentence in ``notes`` says why."""

    run: RunFolder
    manifest: dict[str, Any]
    rows: list[dict[str, float]]
    names: Sequence[str] = ()
    net: nn.Module | None = None
    input_size: tuple[int, int, int] | None = None  # (C, H, W)
    part: str = ""  # what was predicted: "test" or "validation"
    predictions: Predictions | None = None
    images: Callable[[Tensor], Tensor] | None = None  # uint8 (B, C, H, W) by place in that part
    notes: list[str] = field(default_factory=list)

    @cached_property
    def matrix(self) -> np.ndarray:
        """Counts (K, K): a row each true class, a column each predicted one."""
        assert self.predictions is not None
        count = len(self.names)
        places = self.predictions.labels.astype(np.int64) * count + self.predictions.predicted
        return np.bincount(places, minlength=count * count).reshape(count, count)

    @cached_property
    def calibration(self) -> Calibration | None:
        """Of the predictions."""
        if self.predictions is None:
            return None
        return bin_predictions(self.predictions.probabilities.max(1), self.predictions.correct)

    @property
    def tested(self) -> dict[str, float]:
        """The scores of `test`, or nothing."""
        return dict(self.manifest.get("test", {}))

    @property
    def monitor(self) -> str:
        """What the best epoch was chosen by."""
        return str(self.manifest.get("monitor", {}).get("metric", MONITOR))


def gather(run: RunFolder) -> Found:
    """All that there is of a run, without scoring its test images and without downloading."""
    found = Found(run, run.manifest(), read_metrics(run.metrics))
    task = _load_net(found)
    data = _load_data(found)
    if run.predictions.exists():
        found.part, found.predictions = "test", load_predictions(run.predictions)
    elif task is not None and data is not None and len(data.val_indices):
        found.part, found.predictions = "validation", _predict(task, data)
    if found.predictions is not None:
        _check_names(found)
    if data is not None and found.part:
        store, chosen = data.store, data.val_indices
        images = store.test_images if found.part == "test" else store.train_images
        found.images = lambda at: images.index_select(0, at if found.part == "test" else chosen[at])
    return found


def _load_net(found: Found) -> Any:
    """The trained task, or None."""
    try:
        task, checkpoint = load_task(found.run.best, [found.run.config])
    except UserError as error:
        found.notes.append(f"No net here, and so neither kernels nor layers: {_reason(error)}.")
        return None
    found.net = task.net
    data = checkpoint.get("data") or {}
    if data:
        size = data["image_size"]
        height, width = (size, size) if isinstance(size, int) else size
        found.names, found.input_size = data["class_names"], (data["in_channels"], height, width)
    return task


def _load_data(found: Found) -> Any:
    """The data module, set up, if it has the very images that the run was trained with; else None."""
    try:
        data = build_data(found.run)
        if not isinstance(data, ImageDataModule):
            found.notes.append(f"No images here: {type(data).__name__} is no ImageDataModule.")
            return None
        data.mirror = data.mirror or str(data.data_dir)  # where there is a mirror, nothing is downloaded
        data.setup()
    except UserError as error:
        found.notes.append(f"No images here, as the data set cannot be opened: {_reason(error)}.")
        return None
    trained, here = found.manifest.get("data", {}), data.describe()
    if any(trained.get(key, here[key]) != here[key] for key in ("fingerprint", "split")):
        found.notes.append("No images here: the data set found is not the one that the run was trained with.")
        return None
    found.names = found.names or data.class_names
    return data


def _predict(task: Any, data: Any) -> Predictions:
    """What the net says of the validation images."""
    print(f"predicting {len(data.val_indices):,} validation images", file=sys.stderr)
    task = task.to(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))
    with torch.inference_mode():
        parts = [(task.predict_step(images.to(task.device), 0).cpu(), y) for images, y in data.plain_batches("val")]
    task.cpu()
    probabilities, labels = torch.cat([p for p, _ in parts]).numpy(), torch.cat([y for _, y in parts]).numpy()
    return Predictions(probabilities, probabilities.argmax(1), labels, np.arange(len(labels)))


def _check_names(found: Found) -> None:
    """As many names as classes, whatever was found."""
    assert found.predictions is not None
    count = found.predictions.probabilities.shape[1]
    if len(found.names) != count:
        found.names = [f"class {k}" for k in range(count)]


def _reason(error: UserError) -> str:
    return " ".join(str(error).split()).rstrip(".")
