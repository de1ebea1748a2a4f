"""The images of a folder, each in its part, and what is to be said of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from cnnkit.data.folders.assignment import PARTS, Assignment, DrawSettings, LabeledImage, Size, assign_parts
from cnnkit.data.folders.changes import compare_with_run, recall_parts
from cnnkit.data.folders.checked_images import OnBadImage, ReadFolder, read_folder
from cnnkit.data.folders.drawing import hash_to_unit
from cnnkit.data.folders.layout import Layout
from cnnkit.data.folders.run_split import FollowedRun, RunImage, RunSplit, format_path
from cnnkit.data.splits import order_stratified, take_fraction
from cnnkit.errors import UserError
from cnnkit.notices import printable, say
from cnnkit.shell import quote_command

DEFAULT_SIZE = 0.1  # share of the images to validate on, and to test on


@dataclass(frozen=True)
class SplitSettings:
    """What decides on the parts: the data module's arguments of these names. A run keeps them."""

    val_size: Size
    test_size: Size
    split_seed: int
    train_fraction: float


@dataclass
class FolderContents:
    """What is in a folder.

    Args:
        train: the images to train on, and those that ``train_fraction`` leaves out.
        used: for each of them whether it is trained on.
        val: the images to validate on.
        test: the images to test on.
        split: the same, as a run keeps it.
        left_out: reason to the number of files left out for it.
        copies: kind of equal images to their number.
    """

    train: list[LabeledImage]
    used: list[bool]
    val: list[LabeledImage]
    test: list[LabeledImage]
    split: RunSplit
    left_out: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)

    def count_classes(self) -> dict[str, dict[str, int]]:
        """Number of images by part and class."""
        counts = {part: dict.fromkeys(self.split.class_names, 0) for part in PARTS}
        for row in self.split.rows:
            if row.part in counts:
                counts[row.part][row.class_name] += 1
        return counts


def load_contents(
    layout: Layout,
    class_names: Sequence[str],
    settings: SplitSettings,
    kept: Path,
    *,
    max_pixels: int,
    on_bad_image: OnBadImage,
    pixels: Sequence[Any],
    followed: FollowedRun | None = None,
) -> FolderContents:
    """List, check and assign the images, and say what was found.

    Args:
        layout: of the folder.
        class_names: in the order of the labels.
        settings: of the split.
        kept: where records of folders are kept.
        max_pixels: larger images cannot be read.
        on_bad_image: see `read_folder`.
        pixels: what else the fingerprint names: how files become pixels.
        followed: a run to keep to.

    Raises:
        UserError: for what is to be refused.
    """
    root = layout.root
    _say_layout(layout, settings)
    exact = followed is not None and followed.exact  # then what broke is named among the images that are gone
    on_bad_image = "skip" if exact else on_bad_image
    read = read_folder(layout, class_names, max_pixels, on_bad_image, kept / "folders", followed is None)
    if followed is not None and followed.exact:
        assigned, used = recall_parts(read.parts, followed.split, root)
    else:
        sizes = {"val": settings.val_size, "test": settings.test_size}
        drawing = DrawSettings(sizes, settings.split_seed, kept / "splits", root)
        assigned = assign_parts(read.parts, drawing, class_names, followed.split if followed else None)
        if followed is None:
            _refuse_untrained_classes(layout, assigned, class_names)
        used = _take_fraction(assigned.parts["train"], settings)
    for notice in (*read.notices, *assigned.notices):
        say(f"{root}: {notice}")
    if followed is not None and (changes := compare_with_run(followed.split, read.parts, assigned, root)):
        kept_class = "; a run that goes on keeps their old class" * (followed.exact and bool(changes.relabeled))
        say(f"{root}: changed since the run was trained: {changes}{kept_class}")
    split = RunSplit({**asdict(settings), "fingerprint": _fingerprint(read, root, class_names, pixels)}, [*class_names])
    if followed is not None and followed.exact:  # the order is that of the run, whatever the files are called
        split.settings["fingerprint"] = followed.split.settings["fingerprint"]
    train, val, test = (assigned.parts[part] for part in PARTS)
    parts = ["train" if each else "rest" for each in used] + ["val"] * len(val) + ["test"] * len(test)
    split.rows = [
        RunImage(part, class_names[image.label], image.content, format_path(image.file, root))
        for part, image in zip(parts, (*train, *val, *test), strict=True)
    ]
    left_out = {**read.left_out, **assigned.left_out}
    return FolderContents(train, used, val, test, split, left_out, assigned.copies)


def _fingerprint(read: ReadFolder, root: Path, class_names: Sequence[str], pixels: Sequence[Any]) -> str:
    """Of the files in their order, and of how they become pixels; not of the split."""
    about: list[Any] = [tuple(class_names), *pixels]
    about += [(format_path(image.file, root), image.content) for images in read.parts.values() for image in images]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def _take_fraction(images: Sequence[LabeledImage], settings: SplitSettings) -> list[bool]:
    """Which of them ``train_fraction`` leaves to train on."""
    if not images:  # of a run that is only scored
        return []
    labels = torch.tensor([image.label for image in images], dtype=torch.int64)
    places = [hash_to_unit(image.content, "fraction", settings.split_seed) for image in images]
    order = order_stratified(labels, settings.split_seed, torch.tensor(places, dtype=torch.float64))
    used = torch.zeros(len(images), dtype=torch.bool)
    used[take_fraction(order, settings.train_fraction)] = True
    return list(map(bool, used.tolist()))


def _refuse_untrained_classes(layout: Layout, assigned: Assignment, class_names: Sequence[str]) -> None:
    there = {image.label for image in assigned.parts["train"]}
    for label, name in enumerate(class_names):
        if label not in there:
            raise UserError(
                f"{printable(layout.classes['train'][name])}: all of its images are in val or test as well, so none is "
                "left to train on; remove the copies from one of the parts"
            )


def _say_layout(layout: Layout, settings: SplitSettings) -> None:
    if layout.notes:
        say(f"{layout.root}: {'; '.join(layout.notes)}")
    for part, size in (("val", settings.val_size), ("test", settings.test_size)):
        if part in layout.folders and size != DEFAULT_SIZE:
            say(f"{layout.root}: data.{part}_size {size} is not read, as {layout.folders[part]} has these images")
    if (folder := layout.unlabeled) is not None:
        drawn = "; test images are drawn from those of train" if settings.test_size else ""
        command = quote_command("predict", "--run", "RUN", "--images", folder)
        say(f"{folder}: images without class folders are not used{drawn}; to classify them: {command}")
