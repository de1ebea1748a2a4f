"""The measured results of a run for its model card: scores of the test images with intervals, and other seeds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import Predictions, load_predictions
from cnnkit.runs.repetitions import read_repetitions
from cnnkit.stats.intervals import Summary, summarize_shares, wilson_interval
from cnnkit.stats.labels import LabelScore, resample_mean_average_precision, score_labels
from cnnkit.stats.temperature import describe_error

LISTED = 100  # classes in the table


@dataclass(frozen=True)
class Score:
    """A figure of the test images.

    Args:
        title: what it is.
        kind: the hub's name of the metric.
        value: from 0 to 1.
        interval: its 95 % interval; None if it cannot be told.
        key: its name in the manifest.
    """

    title: str
    kind: str
    value: float
    interval: tuple[float, float] | None = None
    key: str = ""


@dataclass(frozen=True)
class ClassRecall:
    """How many test images of a class were found."""

    name: str
    images: int
    right: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the recall."""
        return wilson_interval(self.right, self.images)


@dataclass
class Results:
    """What `test` has measured of the packed checkpoint.

    Args:
        images: test images that were scored; 0 if none were, and then ``missing`` says why.
        scores: the most important first.
        recalls: of the classes with one class an image, those that have test images, lowest recall first.
        labels: scores of the classes with several labels an image.
        errors: calibration error before and after the temperature, or of the plain net alone, by name.
        seeds: the first score over runs that differ by their seed alone; None if there is one run.
        notes: what a reader must know of these figures.
    """

    images: int = 0
    missing: str = ""
    scores: list[Score] = field(default_factory=list)
    recalls: list[ClassRecall] = field(default_factory=list)
    labels: list[tuple[str, LabelScore]] = field(default_factory=list)
    errors: dict[str, dict[str, float]] = field(default_factory=dict)
    seeds: Summary | None = None
    notes: list[str] = field(default_factory=list)


def read_results(run: RunFolder, names: list[str], step: int, tta: str, *, calibrated: bool) -> Results:
    """Read the results of a run, without scoring anything.

    Args:
        run: the run.
        names: of the classes.
        step: of training, at which the packed checkpoint was saved.
        tta: views that the packed model averages over.
        calibrated: whether the packed model has a temperature.
    """
    manifest = run.manifest()
    tested, of = manifest.get("test") or {}, manifest.get("test_of") or {}
    if not tested:
        looked = manifest.get("test_looks") or manifest.get("other_scores")
        why = "This checkpoint has no recorded scores of all test images." if looked else "No test images were scored."
        return Results(missing=why)
    if of.get("step", step) != step:
        return Results(missing="The test scores of the run are of another checkpoint, so none are given.")
    found = Results()
    predictions = _load(run, found)
    found.images = len(predictions.labels) if predictions else int((manifest.get("data") or {}).get("test_images", 0))
    if "test/map" in tested:
        _add_label_scores(found, tested, predictions, names)
    elif "test/acc" in tested:
        _add_accuracy(found, tested, of, tta)
        if predictions is not None:
            _add_classes(found, predictions, names, calibrated=calibrated)
    else:  # a task with scores of its own
        found.scores = [Score(name, name.partition("/")[2], value, key=name) for name, value in tested.items()]
    if found.scores:
        found.seeds = _summarize_seeds(run, found.scores[0].key)
    if tta != "none" and not (tta == of.get("tta") and "test/acc_tta" in tested):
        found.notes.append(f"The figures are of the image alone; with its views ({tta}) the model was not tested.")
    elif tta != "none" and (found.recalls or found.errors):
        found.notes.append("The figures of classes and of calibration are of the image alone, not averaged over views.")
    return found


def _load(run: RunFolder, found: Results) -> Predictions | None:
    try:
        return load_predictions(run.predictions)
    except UserError:
        found.notes.append("The predictions for each test image were not kept, so there are no figures of classes.")
        return None


def _add_accuracy(found: Results, tested: dict[str, float], of: dict[str, Any], tta: str) -> None:
    averaged = tta != "none" and tta == of.get("tta") and "test/acc_tta" in tested
    names = {"test/acc_tta": f"accuracy, averaged over views ({tta})"} if averaged else {}
    names["test/acc"] = "accuracy of the image alone" if averaged else "accuracy"
    for name, title in names.items():
        right = round(tested[name] * found.images)
        found.scores.append(Score(title, "accuracy", tested[name], _wilson(right, found.images), name))
    for name, title, kind in (
        ("test/f1_macro", "F1, mean over classes", "f1"),
        ("test/acc_balanced", "recall, mean over classes", "recall"),
    ):
        if name in tested:
            found.scores.append(Score(title, kind, tested[name], key=name))


def _add_classes(found: Results, predictions: Predictions, names: list[str], *, calibrated: bool) -> None:
    count = predictions.probabilities.shape[1]
    images = np.bincount(predictions.labels, minlength=count)
    right = np.bincount(predictions.labels[predictions.correct], minlength=count)
    rows = [ClassRecall(name, int(n), int(r)) for name, n, r in zip(names, images, right, strict=True) if n]
    found.recalls = sorted(rows, key=lambda row: row.right / row.images)
    if len(rows) < count:
        found.notes.append(f"{count - len(rows)} of {count} classes have no test image.")
    after = describe_error(predictions.probabilities.max(1), predictions.correct)
    if predictions.uncalibrated is not None:
        before = describe_error(predictions.uncalibrated, predictions.correct)
        found.errors = {"without the temperature": before, "with it": after}
    else:
        found.errors = {"without a temperature": after}
        if calibrated:
            found.notes.append("The temperature was fitted after the test; its effect on test images was not measured.")


def _add_label_scores(
    found: Results, tested: dict[str, float], predictions: Predictions | None, names: list[str]
) -> None:
    interval = None
    if predictions is not None:
        low, high = np.quantile(resample_mean_average_precision([predictions]), [0.025, 0.975])
        interval = (float(low), float(high)) if low < high else None  # it cannot tell how sure a perfect score is
        scored = zip(names, score_labels(predictions), strict=True)
        found.labels = sorted(scored, key=lambda pair: pair[1].average_precision)
    title = "mean average precision"
    found.scores.append(Score(title, "mean_average_precision", tested["test/map"], interval, "test/map"))
    if "test/f1" in tested:
        found.scores.append(Score("F1, mean over classes", "f1", tested["test/f1"], key="test/f1"))


def _wilson(right: int, images: int) -> tuple[float, float] | None:
    return wilson_interval(right, images) if images else None


def _summarize_seeds(run: RunFolder, key: str) -> Summary | None:
    """A score over the runs beside this one that differ from it by their seed alone."""
    here = run.path.resolve()
    try:
        groups = read_repetitions(here.parent, [])
    except UserError:  # none of them can be pooled
        return None
    for _, records in groups:
        if len(records) > 1 and here in (record.path.resolve() for record in records):
            values = [record.scores.get(key) for record in records]
            known = [value for value in values if value is not None]
            return summarize_shares(known) if len(known) == len(values) else None
    return None
