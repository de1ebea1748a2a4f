"""The candidates of a comparison: runs, and folders of runs that differ by their seeds alone, with predictions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import Predictions, load_predictions
from cnnkit.runs.records import RunRecord
from cnnkit.runs.repetitions import read_repetitions
from cnnkit.shell import quote_command


@dataclass(frozen=True)
class Candidate:
    """One candidate: a single run, or repetitions of it with other seeds.

    Args:
        name: the folder.
        runs: one a seed.
        predictions: of each run, for the same test images in the same order.
    """

    name: str
    runs: tuple[RunRecord, ...]
    predictions: tuple[Predictions, ...]

    @property
    def accuracies(self) -> list[float]:
        """The accuracy of each run."""
        return [found.accuracy for found in self.predictions]

    @property
    def answers(self) -> np.ndarray:
        """The classes with the highest mean probability over the runs, (N,)."""
        if len(self.predictions) == 1:
            return self.predictions[0].predicted
        return np.asarray(np.mean([p.probabilities for p in self.predictions], axis=0, dtype=np.float32).argmax(1))

    @property
    def confidence(self) -> np.ndarray:
        """The mean probability of each image's true class, float32 (N,)."""
        labels = self.predictions[0].labels[:, None].astype(np.int64)
        of_runs = [np.take_along_axis(p.probabilities, labels, axis=1)[:, 0] for p in self.predictions]
        return np.asarray(np.mean(of_runs, axis=0, dtype=np.float32))


def read_candidates(paths: Sequence[str | Path]) -> tuple[list[Candidate], list[str]]:
    """Read the candidates at some paths, in that order, and notes about runs that were left out.

    Each folder of repetitions is one candidate, see `read_repetitions`.

    Raises:
        UserError: there are fewer than two candidates, a run is missing or not tested, or they cannot be compared.
    """
    notes: list[str] = []
    candidates = [_load_candidate(name, runs) for path in paths for name, runs in read_repetitions(path, notes)]
    if len(candidates) < 2:
        raise UserError(f"{paths[0]}: there is nothing to compare it with; name two or more runs, or folders of runs")
    named = [record.path for candidate in candidates for record in candidate.runs]
    places = [path.resolve() for path in named]
    if twice := next((path for path, place in zip(named, places, strict=True) if places.count(place) > 1), None):
        raise UserError(f"{twice}: a run cannot be compared with itself; name another run in place of one of the two")
    candidates = keep_common_images(candidates, notes)
    check_comparable(candidates, notes)
    notes += [line for candidate in candidates if (line := _describe_averaged(candidate))]
    return candidates, notes


def _describe_averaged(candidate: Candidate) -> str:
    """Describe the accuracy with test-time augmentation, where a test has measured it; else nothing."""
    found = [(record.get("test/acc_tta"), record.get("test_of.tta")) for record in candidate.runs]
    scores = [score for score, _ in found if isinstance(score, float)]
    if not scores:
        return ""
    views = ", ".join(dict.fromkeys(str(kind) for _, kind in found if kind)) or "views"
    of = f" ({len(scores)} of {len(found)} runs)" if len(found) > 1 else ""
    return f"{candidate.name}: {np.mean(scores):.2%} averaged over {views} (--tta){of}; compared is one view an image"


def _load_candidate(name: Path, records: list[RunRecord]) -> Candidate:
    untested = [record for record in records if not RunFolder(record.path).predictions.is_file()]
    if untested:
        more = f", nor are {len(untested) - 1} more of its runs" if len(untested) > 1 else ""
        command = quote_command("test", "--run", untested[0].path)
        raise UserError(f"{untested[0].path}: is not tested yet{more}; test it first: {command}")
    loaded = tuple(load_predictions(RunFolder(record.path).predictions) for record in records)
    return Candidate(str(name), tuple(records), loaded)


def keep_common_images(candidates: list[Candidate], notes: list[str]) -> list[Candidate]:
    """Keep the predictions of the images that every run was tested on, in one order, if images have a content hash.

    A folder of image files may change; the common test images of two runs can still be compared.

    Args:
        candidates: see `read_candidates`.
        notes: gets a line if some run was not tested on all images.

    Raises:
        UserError: there is no such image.
    """
    runs = [found for candidate in candidates for found in candidate.predictions]
    if len({found.probabilities.shape[1] for found in runs}) > 1:
        raise UserError(
            f"{candidates[0].runs[0].path}: the runs have different numbers of classes; compare runs of the same"
        )
    if len({found.multilabel for found in runs}) > 1:
        raise UserError(
            f"{candidates[0].runs[0].path}: of the runs, some have several labels an image and some have one; compare "
            "runs of one kind"
        )
    keys = [image_keys(found) for found in runs if found.identity is not None]
    if len(keys) < len(runs) or all(np.array_equal(keys[0], other) for other in keys[1:]):
        return candidates
    common = keys[0]
    for other in keys[1:]:
        common = np.intersect1d(common, other)
    if not len(common):
        raise UserError(
            f"{candidates[0].runs[0].path}: has no test image in common with the others; compare runs of one folder"
        )
    if max(map(len, keys)) > len(common):
        counts = " and ".join(f"{count:,}" for count in sorted({len(each) for each in keys}))
        notes.append(f"tested on {counts} images that are not the same: compared are the {len(common):,} common ones")
    return [replace(c, predictions=tuple(_select_images(found, common) for found in c.predictions)) for c in candidates]


def image_keys(found: Predictions) -> np.ndarray:
    """A key for each image from its content, its class and a count of copies: it is the same in every run."""
    assert found.identity is not None
    labels = found.labels
    if found.multilabel:
        digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in np.ascontiguousarray(labels)]
        labels = np.frombuffer(b"".join(digests), dtype=np.uint64)
    pairs = np.stack([found.identity, labels.astype(np.uint64)], 1)
    _, group = np.unique(pairs, axis=0, return_inverse=True)
    group = group.reshape(-1)  # NumPy 2.0 gives a column
    order = np.argsort(group, kind="stable")
    starts = np.r_[True, np.diff(group[order]) > 0]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    copies = np.empty(len(order), dtype=np.uint64)
    copies[order] = np.arange(len(order)) - first
    kinds = np.dtype([("content", np.uint64), ("label", np.uint64), ("copy", np.uint64)])
    keys = np.empty(len(copies), dtype=kinds)
    keys["content"], keys["label"], keys["copy"] = pairs[:, 0], pairs[:, 1], copies
    return keys


def _select_images(found: Predictions, keys: np.ndarray) -> Predictions:
    own = image_keys(found)
    order = np.argsort(own)
    places = order[np.searchsorted(own, keys, sorter=order)]
    return found.take(places)


def check_comparable(candidates: Sequence[Candidate], notes: list[str]) -> None:
    """Check that all were tested on the same images, and chose their best epochs by the same validation images.

    Args:
        candidates: at least one.
        notes: gets a line if they were trained on different numbers of images, which may be the question.

    Raises:
        UserError: for the first two runs that differ.
    """
    pairs = [
        (record, found)
        for candidate in candidates
        for record, found in zip(candidate.runs, candidate.predictions, strict=True)
    ]
    first, expected = pairs[0]
    for record, found in pairs[1:]:
        both = f"{first.path} and {record.path}"
        by_content = expected.identity is not None and found.identity is not None
        if (a := first.get("data.fingerprint")) != (b := record.get("data.fingerprint")) and not by_content:
            raise UserError(
                f"{both} were tested on different data ({first.get('data')}, {a}; {record.get('data')}, {b}); "
                "compare runs of the same data"
            )
        same_places = by_content or np.array_equal(expected.index, found.index)
        if not (np.array_equal(expected.labels, found.labels) and same_places):
            raise UserError(
                f"{both} were tested on different images ({len(expected.labels):,} and {len(found.labels):,}); "
                f"test both again, on the whole test set: {quote_command('test', '--run', record.path)}"
            )
        if by_content and a != b:  # the folder has changed
            if (
                note := "chose their best epochs by validation images that may differ, as the folder changed"
            ) not in notes:
                notes.append(note)
        elif not _same_validation(first, record):
            raise UserError(
                f"{both} chose their best epochs by different validation images; train one of them again with the "
                "other's data.val_size and data.split_seed"
            )
    counts = [candidate.runs[0].get("data.train_images") for candidate in candidates]
    if len(set(counts)) > 1:
        notes.append(f"trained on different numbers of images: {', '.join(str(count) for count in counts)}")


def _same_validation(a: RunRecord, b: RunRecord) -> bool:
    """Whether two runs share their validation images; the split's hash holds the training images as well."""
    if a.get("data.split") == b.get("data.split"):
        return True
    alike = all(a.get(key) == b.get(key) is not None for key in ("data.split_seed", "data.val_images"))
    return alike and a.get("data.train_images") != b.get("data.train_images")
