"""The proof that an exported file predicts what the net does: it is run on images, and compared."""

import dataclasses
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import UserError
from cnnkit.stats.intervals import wilson_interval

TOLERANCE = 1e-4  # of a probability, for images of the net's size
RESIZED_TOLERANCE = 5e-3  # for other sizes: a pixel that is rounded otherwise changes more than arithmetic does


@dataclass(frozen=True)
class Agreement:
    """How far two tables of probabilities agree.

    Args:
        images: compared.
        largest_difference: of two probabilities.
        differing_classes: images of which the two name different classes, ties apart.
        tolerance: what the largest difference may be, and what a tie is.
    """

    images: int
    largest_difference: float
    differing_classes: int
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the file may be left."""
        return self.differing_classes == 0 and self.largest_difference <= self.tolerance


def compare(net: np.ndarray, file: np.ndarray, tolerance: float, thresholds: np.ndarray | None = None) -> Agreement:
    """Compare the probabilities of a file with those of the net.

    A class differs only if the tolerance does not explain it: an image whose two most probable classes are closer than
    that has no class that arithmetic could decide. With several labels an image, the same holds for the thresholds.

    Args:
        net: probabilities (N, K).
        file: probabilities (N, K).
        tolerance: of a probability.
        thresholds: with several labels an image, (K,).

    Example:
        >>> compare(np.array([[0.9, 0.1]]), np.array([[0.2, 0.8]]), 1e-4).differing_classes
        1
        >>> compare(np.array([[0.50001, 0.49999]]), np.array([[0.49999, 0.50001]]), 1e-4).holds
        True
    """
    if net.shape != file.shape:
        raise UserError(f"the file gives probabilities of the shape {file.shape}, the net {net.shape}")
    if thresholds is None:
        rows, there = np.arange(len(net)), file.argmax(1)
        differs = net.max(1) - net[rows, there] > 2 * tolerance
    else:
        differs = (((net >= thresholds) != (file >= thresholds)) & (abs(net - thresholds) > tolerance)).any(1)
    largest = abs(net.astype(np.float64) - file).max(initial=0.0)
    # What is no number differs, too.
    return Agreement(len(net), float(np.nan_to_num(largest, nan=np.inf)), int(differs.sum()), tolerance)


@dataclass(frozen=True)
class Int8Cost:
    """What an int8 file loses against its net, on the same images.

    Args:
        images: compared.
        differing_classes: images of which the two name different classes.
        largest_difference: of two probabilities.
        drop: accuracy of the net less that of the file, in points; None if no labels are known.
        low: lower end of the drop's interval of 95 %, over test sets like this one.
        high: upper end.
        max_drop: points that were allowed.
        calibration_images: validation images that the scales come from.
    """

    images: int
    differing_classes: int
    largest_difference: float
    drop: float | None
    low: float | None
    high: float | None
    max_drop: float
    calibration_images: int

    @property
    def holds(self) -> bool:
        """Whether the file may be left; without labels, every differing class counts as one that was right."""
        return (100 * self.differing_classes / self.images if self.drop is None else self.drop) <= self.max_drop


@dataclass(frozen=True)
class Proof:
    """What was found when an exported file was run; it stands as JSON beside the file.

    Args:
        file: name of the file.
        format: ``onnx``, ``torch`` or ``safetensors``.
        precision: ``float32`` or ``int8``.
        sha256: of the file.
        bytes: of the file.
        ran_in: what ran the file.
        checked_on: which images.
        agreement: at the net's size.
        resized: with the resize inside the file, on images of other sizes, and Pillow's resize for the net.
        resized_on: which images those were.
        from_files: of image files, the same predictions of the file, and those of ``cnnkit predict`` for the net: its
            decoder shrinks large JPEG files. It refuses nothing. None where the images are not from files.
        accuracy: of the ``net`` and of the ``file`` on the images with their interval of 95 %, if labels are known.
        checkpoint: of the net.
        run: of the net.
        versions: of what wrote and ran the file.
        seconds: that export and check took.
        int8: of an int8 file, what its precision costs; ``agreement`` and ``resized`` are of the float32 file that it
            was made of.
    """

    file: str
    format: str
    precision: str
    sha256: str
    bytes: int
    ran_in: str
    checked_on: str
    agreement: Agreement
    resized: Agreement
    resized_on: str
    from_files: Agreement | None
    accuracy: dict[str, dict[str, float]]
    checkpoint: dict[str, Any]
    run: dict[str, str]
    versions: dict[str, str]
    seconds: float
    int8: Int8Cost | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def measure_accuracy(probabilities: np.ndarray, labels: np.ndarray | None, thresholds: Any) -> dict[str, float]:
    """Return the share of images that were classified rightly, with several labels in all of them, and its interval."""
    if labels is None or not len(labels):
        return {}
    right = int(find_right(probabilities, labels, thresholds).sum())
    low, high = wilson_interval(right, len(labels))
    return {"accuracy": right / len(labels), "low": low, "high": high, "images": len(labels)}


def find_right(probabilities: np.ndarray, labels: np.ndarray, thresholds: Any) -> np.ndarray:
    """Which images were classified rightly, with several labels in all of them, bool (N,)."""
    if thresholds is None:
        return np.asarray(probabilities.argmax(1) == labels)
    return np.asarray(((probabilities >= thresholds) == (labels > 0.5)).all(1))


def list_versions(names: Sequence[str]) -> dict[str, str]:
    """The versions of installed packages and of Python."""
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def refuse(proof_of: Agreement, path: Path, what: str) -> None:
    """Refuse a file that does not agree with its net.

    Raises:
        UserError: it does not.
    """
    if not proof_of.holds:
        raise UserError(
            f"{path}: not written, because the file does not predict what the net does: of {proof_of.images:,} {what} "
            f"{proof_of.differing_classes:,} have another class,\nand the probabilities differ by up to "
            f"{proof_of.largest_difference:.2g} ({proof_of.tolerance:g} is allowed); choose another --format"
        )
