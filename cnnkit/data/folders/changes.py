"""How a folder differs from what a run was trained on, when the run is scored or resumed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnnkit.data.folders.folder_images import FolderImages, LabeledImage, format_list, format_path
from cnnkit.data.folders.layout import Layout
from cnnkit.data.folders.run_split import RunSplit
from cnnkit.errors import UserError
from cnnkit.notices import printable

MOVED = "moved to another class"
Changes = dict[str, list[tuple[str, str]]]  # kind of change to the part and path of each image


def refuse_other_settings(split: RunSplit, settings: Mapping[str, Any]) -> None:
    """Refuse settings of the split that differ from those of the run with a `UserError`."""
    for key, value in settings.items():
        if (before := split.settings.get(key, value)) != value:
            raise UserError(
                f"data.{key} is {value}, but the run was trained with {before} and keeps its split: leave it out"
            )


def match_classes(layout: Layout, split: RunSplit) -> tuple[str, ...]:
    """Return the run's classes, in the order of its labels; note the folder's other classes in the layout."""
    known = tuple(split.class_names)
    if new := [name for name in layout.class_names if name not in known]:
        layout.notes.append(
            f"{format_list(new)}: no class of this run ({len(known):,} classes), so it is left out; "
            "train again to learn it"
        )
    return known


def compare_with_run(split: RunSplit, found: FolderImages, assigned: FolderImages) -> Changes:
    """Find how the folder's images, before and after the assignment to parts, differ from those of a run."""
    root, parts = found.root, {image.file: part for part, images in assigned.parts.items() for image in images}
    present = {
        format_path(image.file, root): (parts.get(image.file, "left out"), image.content) for image in found.images
    }
    changes = find_changes(split, present)
    before = {(row.content, row.class_name) for row in split.rows}
    stayed = {image.content for image in found.images if (image.content, split.class_names[image.label]) in before}
    moved = {content for content, _ in before} - stayed  # a copy of one that stayed has been added
    for image in found.images:
        if image.content in moved:
            changes[MOVED].append((parts.get(image.file, "left out"), format_path(image.file, root)))
    return changes


def find_changes(split: RunSplit, present: Mapping[str, tuple[str, str]]) -> Changes:
    """Compare a run's images with those of a folder, given the part and content of each path.

    Returns:
        ``added``: files with a new content, or more copies of a known one; ``removed``: images whose content is gone;
        ``changed``: images whose path now holds another content.
    """
    changes: Changes = {"added": [], "removed": [], "changed": [], MOVED: []}
    left = Counter(content for _, content in present.values())
    same_place = {row for row in split.rows if present.get(row.path, ("", ""))[1] == row.content}
    left.subtract(row.content for row in same_place)
    overwritten = set()
    for row in split.rows:
        if row in same_place:
            continue
        if left[row.content] > 0:  # renamed: there is a file too many with that content
            left[row.content] -= 1
        elif row.path in present:
            changes["changed"].append((row.part, row.path))
            overwritten.add(row.path)
        else:
            changes["removed"].append((row.part, row.path))
    recorded = {row.path: row.content for row in split.rows}
    for path, (part, content) in present.items():
        if path not in overwritten and recorded.get(path) != content and left[content] > 0:
            left[content] -= 1
            changes["added"].append((part, path))
    return changes


def format_changes(changes: Changes) -> str:
    """Such as ``2 added (1 test, 1 train; cat/8.jpg ...), 1 removed (1 val; dog/1.jpg)``; empty if none."""
    return ", ".join(f"{len(rows):,} {kind} ({_summarize(rows)})" for kind, rows in changes.items() if rows)


def _summarize(rows: Sequence[tuple[str, str]]) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in sorted(Counter(part for part, _ in rows).items()))
    return f"{counts}; {format_list(path for _, path in rows)}"


def recall_parts(found: FolderImages, split: RunSplit) -> tuple[FolderImages, list[bool]]:
    """Find exactly the images of a run, in its order, even if they have other names now.

    Returns:
        The images in their parts, and for each one in ``train`` whether the run trains on it.

    Raises:
        UserError: an image to train or validate on is gone or changed.
    """
    by_path = {format_path(image.file, found.root): image for image in found.images}
    by_content = {image.content: image for image in found.images}
    labels = {name: label for label, name in enumerate(split.class_names)}
    parts: dict[str, list[LabeledImage]] = {"train": [], "val": [], "test": []}
    used, missing = [], 0
    for row in split.rows:
        image = by_path.get(row.path)
        image = image if image is not None and image.content == row.content else by_content.get(row.content)
        if image is None and row.part == "test":
            continue
        missing += image is None and row.part in ("train", "val")
        # An image that ``train_fraction`` leaves out keeps its position, even if its file is gone.
        file = image.file if image is not None else found.root / row.path
        part = "train" if row.part == "rest" else row.part
        parts[part].append(LabeledImage(file, labels[row.class_name], row.content))
        if part == "train":
            used.append(row.part == "train")
    if missing:
        changes = find_changes(split, {path: ("unused", image.content) for path, image in by_path.items()})
        raise UserError(
            f"{printable(found.root)}: {missing:,} of the images that the run trains and validates on are gone: "
            f"{format_changes(changes)}; restore them, or start a new run"
        )
    return replace(found, parts=parts), used
