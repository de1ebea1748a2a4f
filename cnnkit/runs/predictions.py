"""The predictions of a run for every test image; NumPy alone, so that reading them needs no torch."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cnnkit.errors import UserError
from cnnkit.files import check_regular, replacing
from cnnkit.shell import quote_command


@dataclass(frozen=True)
class Predictions:
    """The predictions of one net for N test images of K classes.

    Args:
        probabilities: float16 (N, K).
        predicted: the most probable classes, int16 (N,); kept, because float16 can make two probabilities equal.
        labels: the true classes, int16 (N,).
            With several labels an image, both are int16 (N, K), 1 for each class, and probabilities float32.
        index: each image's place in the test set, int32 (N,).
        identity: each image's content as a hash, uint64 (N,); None where the place says which image it is.
        uncalibrated: the probability of each predicted class without the checkpoint's temperature, float32 (N,); None
            where there is no temperature.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    identity: np.ndarray | None = None
    uncalibrated: np.ndarray | None = None

    @property
    def multilabel(self) -> bool:
        """Whether an image may have none or several of the classes."""
        return self.labels.ndim == 2

    @property
    def correct(self) -> np.ndarray:
        """Which images were classified rightly, with several labels in all of them; bool (N,)."""
        equal = np.asarray(self.predicted == self.labels)
        return np.asarray(equal.all(1)) if self.multilabel else equal

    @property
    def accuracy(self) -> float:
        """Share of them."""
        return float(self.correct.mean())

    def take(self, places: np.ndarray) -> "Predictions":
        """The predictions of some images, by their rows, int64 (M,)."""
        return replace(self, **{name: part[places] for name, part in vars(self).items() if part is not None})

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        with replacing(path, "wb") as file:
            file.write(
                save({name: np.ascontiguousarray(value) for name, value in vars(self).items() if value is not None})
            )


def write_class_scores(path: Path, predictions: Predictions, names: Sequence[str]) -> None:
    """Write a CSV with a row for each class; recall and precision are empty where they are not defined.

    Args:
        path: of the file.
        predictions: of K classes.
        names: of the classes, in the order of the labels.
    """
    right = predictions.labels[predictions.correct]
    count = partial(np.bincount, minlength=predictions.probabilities.shape[1])
    rows = zip(names, count(predictions.labels), count(predictions.predicted), count(right), strict=True)
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "images", "predicted", "correct", "recall", "precision", "f1"])
        for name, images, predicted, correct in rows:
            parts = ((correct, images), (correct, predicted), (2 * correct, images + predicted))
            writer.writerow([name, images, predicted, correct, *(f"{a / b:.4f}" if b else "" for a, b in parts)])


def load_predictions(path: Path) -> Predictions:
    """Read such a file.

    Raises:
        UserError: if it is missing or no such file.
    """
    try:
        check_regular(path)
        found = load_file(path)
        needed = {name: found[name] for name in ("probabilities", "predicted", "labels", "index")}
        return Predictions(**needed, identity=found.get("identity"), uncalibrated=found.get("uncalibrated"))
    except FileNotFoundError:
        raise UserError(f"{path}: not there; `{quote_command('test', '--run', path.parent)}` writes it") from None
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(f"{path}: no file of predictions ({error}); `test --run` writes it again") from None
