"""What is to be compared: runs, and folders of runs that differ by their seeds alone, with their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit.analysis.predictions import Predictions, load_predictions
from cnnkit.analysis.repetitions import read_repetitions
from cnnkit.analysis.runs import RunRecord
from cnnkit.errors import UserError
from cnnkit.run_folder import RunFolder


@dataclass(frozen=True)
class Side:
    """One of those that are compared: a single run, or repetitions of it with other seeds.

    Args:
        name: the folder.
        runs: one a seed.
        predictions: what each said of the test images, in the same order.
    """

    name: str
    runs: tuple[RunRecord, ...]
    predictions: tuple[Predictions, ...]

    @property
    def accuracies(self) -> list[float]:
        """One a run."""
        return [found.accuracy for found in self.predictions]

    @property
    def answers(self) -> np.ndarray:
        """The classes that the runs predict together, by their mean probabilities, (N,)."""
        if len(self.predictions) == 1:
            return self.predictions[0].predicted
        return np.asarray(np.mean([p.probabilities for p in self.predictions], axis=0, dtype=np.float32).argmax(1))

    @property
    def confidence(self) -> np.ndarray:
        """The mean probability of each image's true class, float32 (N,)."""
        labels = self.predictions[0].labels[:, None].astype(np.int64)
        of_runs = [np.take_along_axis(p.probabilities, labels, axis=1)[:, 0] for p in self.predictions]
        return np.asarray(np.mean(of_runs, axis=0, dtype=np.float32))


def read_sides(paths: Sequence[str | Path]) -> tuple[list[Side], list[str]]:
    """The sides that paths stand for, in that order, and notes about runs that were left out.

    Each folder of repetitions is a side, see `read_repetitions`.

    Raises:
        UserError: there are fewer than two sides, a run is missing or not tested, or the sides cannot be compared.
    """
    notes: list[str] = []
    sides = [_side(name, runs) for path in paths for name, runs in read_repetitions(path, notes)]
    if len(sides) < 2:
        raise UserError(f"{paths[0]}: this is one side; name at least two runs, or folders of runs, to compare")
    places = [record.path.resolve() for side in sides for record in side.runs]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise UserError(f"{twice}: is named twice; compare different runs")
    check_comparable(sides, notes)
    return sides, notes


def _side(name: Path, records: list[RunRecord]) -> Side:
    untested = [record for record in records if not RunFolder(record.path).predictions.is_file()]
    if untested:
        more = f" (and {len(untested) - 1} more of its runs)" if len(untested) > 1 else ""
        raise UserError(f"{untested[0].path}: not tested{more}; python -m cnnkit test --run {untested[0].path}")
    loaded = tuple(load_predictions(RunFolder(record.path).predictions) for record in records)
    return Side(str(name), tuple(records), loaded)


def check_comparable(sides: Sequence[Side], notes: list[str]) -> None:
    """See that all were tested on the same images, and chose their best epochs by the same validation images.

    Args:
        sides: at least one.
        notes: gets a line if they were trained on different numbers of images, which may be the very question.

    Raises:
        UserError: for the first two runs of which it does not hold.
    """
    pairs = [(record, found) for side in sides for record, found in zip(side.runs, side.predictions, strict=True)]
    first, expected = pairs[0]
    for record, found in pairs[1:]:
        both = f"{first.path} and {record.path}"
        if (a := first.get("data.fingerprint")) != (b := record.get("data.fingerprint")):
            raise UserError(
                f"{both} were tested on different data ({first.get('data')}, {a}; {record.get('data')}, {b}); "
                "compare runs of the same data"
            )
        if not (np.array_equal(expected.labels, found.labels) and np.array_equal(expected.index, found.index)):
            raise UserError(
                f"{both} were tested on different images ({len(expected.labels):,} and {len(found.labels):,}); "
                f"test both anew, on the whole test set: python -m cnnkit test --run {record.path}"
            )
        if not _same_validation(first, record):
            raise UserError(
                f"{both} chose their best epochs by different validation images; train one of them anew with the "
                "other's data.val_size and data.split_seed"
            )
    counts = [side.runs[0].get("data.train_images") for side in sides]
    if len(set(counts)) > 1:
        notes.append(f"trained on different numbers of images: {', '.join(str(count) for count in counts)}")


def _same_validation(a: RunRecord, b: RunRecord) -> bool:
    """Whether two runs share their validation images; the split's hash holds the training images as well."""
    if a.get("data.split") == b.get("data.split"):
        return True
    alike = all(a.get(key) == b.get(key) is not None for key in ("data.split_seed", "data.val_images"))
    return alike and a.get("data.train_images") != b.get("data.train_images")
