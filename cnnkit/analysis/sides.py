"""What is to be compared: runs, and folders of runs that differ by their seeds alone, with their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit.analysis.predictions import Predictions, load_predictions
from cnnkit.analysis.runs import RunRecord, config_differences, read_record
from cnnkit.errors import UserError
from cnnkit.run_folder import ROOT, RunFolder

# Keys of a configuration that may differ between the repetitions of one run.
_FREE = ("seed_everything", "trainer.enable_progress_bar")


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

    A run folder is a side. So is a folder of run folders: its finished runs with the configuration and code of the
    newest one, one a seed. A folder of such folders, as a study makes it, is as many sides. A folder with a
    ``study.yaml`` stands for the runs of that study.

    Raises:
        UserError: there are fewer than two sides, a run is missing or not tested, or the sides cannot be compared.
    """
    notes: list[str] = []
    sides = [_side(name, runs, notes) for path in paths for name, runs in _groups(Path(path))]
    if len(sides) < 2:
        raise UserError(f"{paths[0]}: this is one side; name at least two runs, or folders of runs, to compare")
    places = [record.path.resolve() for side in sides for record in side.runs]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise UserError(f"{twice}: is named twice; compare different runs")
    check_comparable(sides, notes)
    return sides, notes


def _groups(path: Path) -> list[tuple[Path, list[Path]]]:
    """Names and run folders of the sides that a path stands for."""
    if (path / "config.yaml").is_file():
        return [(path, [path])]
    if (path / "study.yaml").is_file():
        made = Path(ROOT) / path.resolve().name
        if not made.is_dir():
            raise UserError(f"{path}: {made} has no runs of this study; python -m cnnkit study {path} makes them")
        path = made
    if not path.is_dir():
        raise UserError(f"{path}: no such run folder; `python -m cnnkit runs` lists those there are")
    places = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    groups = [(place, [file.parent for file in sorted(place.glob("*/config.yaml"))]) for place in places]
    found = [(place, runs) for place, runs in groups if runs]
    if not found:
        raise UserError(
            f"{path}: not a run folder, nor a folder of runs; `python -m cnnkit runs` lists those there are"
        )
    return found


def _side(name: Path, folders: list[Path], notes: list[str]) -> Side:
    records = [read_record(folder) for folder in folders]
    if name != folders[0]:
        records = _repetitions(name, records, notes)
    untested = [record for record in records if not RunFolder(record.path).predictions.is_file()]
    if untested:
        more = f" (and {len(untested) - 1} more of its runs)" if len(untested) > 1 else ""
        raise UserError(f"{untested[0].path}: not tested{more}; python -m cnnkit test --run {untested[0].path}")
    loaded = tuple(load_predictions(RunFolder(record.path).predictions) for record in records)
    return Side(str(name), tuple(records), loaded)


def _repetitions(name: Path, records: list[RunRecord], notes: list[str]) -> list[RunRecord]:
    """The finished runs that are like the newest one but for their seed, the newest of each seed, in order of seeds."""
    finished = sorted((r for r in records if r.get("status") == "finished"), key=lambda r: str(r.get("when")))
    if not finished:
        raise UserError(
            f"{name}: none of its {len(records)} runs is finished; `python -m cnnkit runs {name}` says more"
        )
    if len(finished) < len(records):
        notes.append(f"{name}: {len(records) - len(finished)} of {len(records)} runs are not finished: left out")
    newest = finished[-1]
    others = {record.path: reason for record in finished if (reason := _unlike(record, newest))}
    if others:
        notes.append(f"{name}: {len(others)} finished runs are unlike {newest.path.name}, left out: {_first(others)}")
    alike = {record.get("seed"): record for record in finished if record.path not in others}
    if repeated := len(finished) - len(others) - len(alike):
        notes.append(f"{name}: {repeated} older runs with a seed that was used again: left out")
    return [alike[seed] for seed in sorted(alike, key=lambda seed: (seed is None, seed))]


def _unlike(record: RunRecord, other: RunRecord) -> str:
    """In what two runs differ besides the seed, or nothing."""
    keys = [key for key in config_differences(record, other) if key not in _FREE]
    keys += [key for key in ("code", "data.fingerprint", "data.split") if record.get(key) != other.get(key)]
    return ", ".join(keys[:3])


def _first(reasons: dict[Path, str]) -> str:
    place, reason = next(iter(reasons.items()))
    return f"{place.name} in {reason}"


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
