"""Collects what a report shows of a run: its numbers, predictions, net and images, as far as they exist."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnkit.cli.inference import move_to_accelerator
from cnnkit.cli.parsing.build import build_data
from cnnkit.data import ImageDataModule
from cnnkit.errors import UserError
from cnnkit.inference.task_loading import load_task
from cnnkit.metric_names import MONITOR
from cnnkit.runs import RunFolder
from cnnkit.runs.metrics import read_metrics
from cnnkit.runs.predictions import Predictions, load_predictions
from cnnkit.stats.calibration import Calibration, bin_predictions
from cnnkit.stats.labels import LabelScore, resample_mean_average_precision, score_labels


@dataclass
class ReportData:
    """The contents of a report; what is missing stays None, and a sentence in ``notes`` says why."""

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
    label_scores: list[LabelScore] | None = None  # of each class, with several labels an image

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
        if self.predictions is None or self.predictions.multilabel:
            return None
        return bin_predictions(self.predictions.probabilities.max(1), self.predictions.correct)

    @cached_property
    def map_interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean average precision of the test images, by a bootstrap of these."""
        if self.predictions is None or not self.predictions.multilabel or self.part != "test":
            return None
        low, high = np.quantile(resample_mean_average_precision([self.predictions]), [0.025, 0.975])
        return (float(low), float(high)) if low < high else None  # it cannot tell how sure a perfect score is

    @property
    def tested(self) -> dict[str, float]:
        """The scores of `test`, or nothing."""
        return dict(self.manifest.get("test", {}))

    @property
    def monitor(self) -> str:
        """What the best epoch was chosen by."""
        return str(self.manifest.get("monitor", {}).get("metric", MONITOR))


def collect_report_data(run: RunFolder) -> ReportData:
    """Collect everything without scoring the test images and without downloading."""
    report = ReportData(run, run.manifest(), read_metrics(run.metrics))
    task = _load_net(report)
    data = _load_data(report)
    if run.predictions.exists():
        report.part, report.predictions = "test", load_predictions(run.predictions)
        calibrated = task is not None and task.correction.find_temperature("none") is not None
        if calibrated and report.predictions.uncalibrated is None:
            report.notes.append(
                "The run was calibrated after its test: what is shown is without the temperature; test again."
            )
    elif task is not None and data is not None and len(data.val_indices):
        report.part, report.predictions = "validation", _predict(task, data)
    if report.predictions is not None and report.predictions.multilabel:
        report.label_scores = score_labels(report.predictions)
        report.notes.append(
            "Several labels an image: no accuracy, confusion matrix or reliability diagram is shown: these are of one "
            "class an image."
        )
    if report.predictions is not None and len(report.names) != (count := report.predictions.probabilities.shape[1]):
        report.names = [f"class {k}" for k in range(count)]
    if data is not None and report.part:
        store, chosen = data.store, data.val_indices
        images = store.test_images if report.part == "test" else store.train_images
        report.images = lambda at: images.index_select(0, at if report.part == "test" else chosen[at])
    return report


def _load_net(report: ReportData) -> Any:
    """The trained task, or None."""
    try:
        task, checkpoint = load_task(report.run.best, [report.run.config])
    except UserError as error:
        report.notes.append(f"No net here, and so neither kernels nor layers: {_reason(error)}.")
        return None
    report.net = task.net
    data = checkpoint.get("data") or {}
    if data:
        size = data["image_size"]
        height, width = (size, size) if isinstance(size, int) else size
        report.names, report.input_size = data["class_names"], (data["in_channels"], height, width)
    return task


def _load_data(report: ReportData) -> Any:
    """The data module, set up, if it has the very images that the run was trained with; else None."""
    try:
        data = build_data(report.run)
        if not isinstance(data, ImageDataModule):
            report.notes.append(f"No images here: {type(data).__name__} is no ImageDataModule.")
            return None
        data.mirror = data.mirror or str(data.data_dir)  # where there is a mirror, nothing is downloaded
        data.setup()
    except UserError as error:
        report.notes.append(f"No images here, as the data set cannot be opened: {_reason(error)}.")
        return None
    trained, here = report.manifest.get("data", {}), data.describe()
    if any(trained.get(key, here[key]) != here[key] for key in ("fingerprint", "split")):
        report.notes.append("No images here: the data set found is not the one that the run was trained with.")
        return None
    report.names = report.names or data.class_names
    return data


def _predict(task: Any, data: Any) -> Predictions:
    """The predictions of the net for the validation images."""
    print(f"predicting {len(data.val_indices):,} validation images", file=sys.stderr)
    move_to_accelerator(task)
    temperatures, plain = task.correction.temperatures, None
    with torch.inference_mode():
        parts = [(task.predict_step(images.to(task.device), 0).cpu(), y) for images, y in data.plain_batches("val")]
        if task.correction.find_temperature("none") is not None:
            task.correction.temperatures = {}
            plain = [task.predict_step(images.to(task.device), 0).cpu() for images, _ in data.plain_batches("val")]
            task.correction.temperatures = temperatures
    task.cpu()
    probabilities, labels = torch.cat([p for p, _ in parts]).numpy(), torch.cat([y for _, y in parts]).numpy()
    if task.multilabel:
        predicted = (probabilities >= task.thresholds.numpy()).astype(np.int16)
        return Predictions(probabilities, predicted, labels.astype(np.int16), np.arange(len(labels)))
    before = None if plain is None else torch.cat(plain).amax(1).numpy()
    return Predictions(probabilities, probabilities.argmax(1), labels, np.arange(len(labels)), uncalibrated=before)


def _reason(error: UserError) -> str:
    return " ".join(str(error).split()).rstrip(".")
