"""What becomes of a folder's images when a run is scored, or goes on, that was trained on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnkit.data.folders.assignment import Assignment, LabeledImage
from cnnkit.data.folders.layout import Layout
from cnnkit.data.folders.run_split import Changes, RunImage, RunSplit, find_changes, format_path
from cnnkit.errors import UserError
from cnnkit.notices import printable

Found = Mapping[str, Sequence[LabeledImage]]


def refuse_other_settings(split: RunSplit, settings: Mapping[str, Any]) -> None:
    """A run keeps the split that it was trained with.

    Raises:
        UserError: a setting of the split differs.
    """
    for key, value in settings.items():
        if (before := split.settings.get(key, value)) != value:
            raise UserError(
                f"data.{key} is {value}, but the run was trained with {before} and keeps its split: leave it out"
            )


def match_classes(layout: Layout, split: RunSplit) -> tuple[str, ...]:
    """The run's classes, in the order of its labels; what the folder has beside them is noted.

    Args:
        layout: gets the notes.
        split: the run's.
    """
    known = tuple(split.class_names)
    if new := [name for name in layout.class_names if name not in known]:
        names = ", ".join(map(printable, new[:3])) + " ..." * (len(new) > 3)
        layout.notes.append(
            f"{names}: no class of this run ({len(known):,} classes), so it is left out; train again to learn it"
        )
    return known


def compare_with_run(split: RunSplit, found: Found, assigned: Assignment, root: Path) -> Changes:
    """How the folder's images differ from those that the run began with.

    Args:
        split: the run's.
        found: all images that can be read.
        assigned: their parts.
        root: the folder.
    """
    parts = {image.file: part for part, images in assigned.parts.items() for image in images}
    files = [image for images in found.values() for image in images]
    present = {format_path(image.file, root): (parts.get(image.file, "left out"), image.content) for image in files}
    changes = find_changes(split, present)
    before = {(row.content, row.class_name) for row in split.rows}
    known = {content for content, _ in before}
    stayed = {image.content for image in files if (image.content, split.class_names[image.label]) in before}
    moved = known - stayed  # a copy of one that stayed has been added
    for image in files:
        if image.content in moved:
            changes.relabeled.append((parts.get(image.file, "left out"), format_path(image.file, root)))
    return changes


def recall_parts(found: Found, split: RunSplit, root: Path) -> tuple[Assignment, list[bool]]:
    """The very images that a run began with, in its order, by whatever names they have now.

    Args:
        found: all images that can be read.
        split: the run's.
        root: the folder.

    Returns:
        The parts, and for each image in ``train`` whether it is trained on, as ``train_fraction`` had it.

    Raises:
        UserError: an image to train or validate on is gone or changed.
    """
    files = [image for images in found.values() for image in images]
    by_path = {format_path(image.file, root): image for image in files}
    by_content = {image.content: image for image in files}
    labels = {name: label for label, name in enumerate(split.class_names)}
    parts: dict[str, list[LabeledImage]] = {"train": [], "val": [], "test": []}
    used, missing = [], []
    for row in split.rows:
        image = by_path.get(row.path)
        image = image if image is not None and image.content == row.content else by_content.get(row.content)
        if image is None and row.part in ("train", "val"):
            missing.append(row)
        if image is None and row.part == "test":
            continue
        # What is not trained on keeps its place, though nobody reads it.
        file = image.file if image is not None else root / row.path
        parts["train" if row.part == "rest" else row.part].append(
            LabeledImage(file, labels[row.class_name], row.content)
        )
        if row.part in ("train", "rest"):
            used.append(row.part == "train")
    if missing:
        _refuse_missing(missing, split, by_path, root)
    return Assignment(parts), used


def _refuse_missing(
    missing: Sequence[RunImage], split: RunSplit, there: Mapping[str, LabeledImage], root: Path
) -> None:
    present = {path: ("unused", image.content) for path, image in there.items()}
    changes = find_changes(split, present)
    raise UserError(
        f"{printable(root)}: {len(missing):,} of the images that the run trains and validates on are gone: {changes}; "
        "bring them back, or start a new run"
    )
