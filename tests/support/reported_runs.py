"""What the tests of `report` expect."""

import pytest

from cnnkit import FashionMNISTSample
from cnnkit.errors import UserError
from cnnkit.runs.predictions import Predictions


def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: FashionMNISTSample) -> None:
        raise UserError("the disk with the images is not there;\ncome back tomorrow.")

    monkeypatch.setattr(FashionMNISTSample, "open", gone)


def worst(predictions: Predictions) -> list[int]:
    """Places of the wrong images, the most confident first, by sorting in plain Python."""
    wrong = [k for k in range(len(predictions.labels)) if predictions.predicted[k] != predictions.labels[k]]
    return sorted(wrong, key=lambda k: -float(predictions.probabilities[k].max()))
