"""Load a folder: list and check its images, assign them to parts, and print what was found."""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from cnnkit.allocator import pause_collections
from cnnkit.data.file_checks import EarlyImages
from cnnkit.data.folders.assignment import SplitSettings, assign_parts
from cnnkit.data.folders.changes import MOVED, compare_with_run, format_changes, recall_parts
from cnnkit.data.folders.checked_images import OnBadImage, read_folder
from cnnkit.data.folders.drawing import hash_to_unit
from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage, format_path
from cnnkit.data.folders.layout import Layout
from cnnkit.data.folders.run_split import FollowedRun, RunImage, RunSplit
from cnnkit.data.splits import order_stratified, take_fraction
from cnnkit.errors import UserError
from cnnkit.notices import printable, say
from cnnkit.shell import quote_command

DEFAULT_SIZE = 0.1  # share of the images to validate on, and to test on


@dataclass
class FolderContents:
    """What is in a folder.

    Args:
        images: the images in their parts.
        used: for each image in ``train`` whether it is trained on; ``train_fraction`` leaves out the others.
        split: the same parts, as a run folder keeps them.
    """

    images: FolderImages
    used: list[bool]
    split: RunSplit

    def count_classes(self, class_names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Count the images by part and class; one with several labels counts for each of them."""
        counts = {part: dict.fromkeys(class_names, 0) for part in PARTS}
        sets = self.images.list_label_sets(len(class_names))
        names = {name: [class_names[k] for k in sets[label]] for label, name in enumerate(self.split.class_names)}
        for row in self.split.rows:
            for name in names[row.class_name] if row.part in counts else ():
                counts[row.part][name] += 1
        return counts


class ImageSource(Protocol):
    """Where labeled image files come from."""

    @property
    def root(self) -> Path:
        """The folder or table."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels."""

    @property
    def own_parts(self) -> Container[str]:
        """The parts that need not be drawn."""

    def report(self, settings: SplitSettings) -> None:
        """Say how the source is read."""

    def read(
        self, max_pixels: int, on_bad_image: OnBadImage, records: Path, complete: bool, early: EarlyImages | None
    ) -> FolderImages:
        """List and check the images, see `read_folder`."""

    def explain_untrained(self, name: str) -> str:
        """Return an error message: no image of a class is left to train on."""

    def explain_no_test(self, followed: bool) -> str:
        """Return an error message: there are no test images."""


@dataclass
class FolderSource:
    """A folder with a recognized layout, as an `ImageSource`."""

    layout: Layout
    class_names: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The folder."""
        return self.layout.root

    @property
    def own_parts(self) -> Container[str]:
        """The parts with a folder of their own."""
        return self.layout.folders

    def report(self, settings: SplitSettings) -> None:
        """See `ImageSource`."""
        _report_layout(self.layout, settings)

    def read(
        self, max_pixels: int, on_bad_image: OnBadImage, records: Path, complete: bool, early: EarlyImages | None
    ) -> FolderImages:
        """See `ImageSource`."""
        return read_folder(self.layout, self.class_names, max_pixels, on_bad_image, records, complete, early)

    def explain_untrained(self, name: str) -> str:
        """See `ImageSource`."""
        return (
            f"{printable(self.layout.classes['train'][name])}: all of its images are in val or test as well, so none "
            "is left to train on; remove the copies from one of the parts"
        )

    def explain_no_test(self, followed: bool) -> str:
        """See `ImageSource`."""
        trained = " that the run was not trained on" if followed else ""
        other = "" if followed else ", or set data.test_size"
        return f"{self.root}: there are no test images; add some{trained} as {self.root / 'test'}{other}"


def load_contents(
    source: ImageSource,
    settings: SplitSettings,
    records: Path,
    *,
    max_pixels: int,
    on_bad_image: OnBadImage,
    pixels: Sequence[Any],
    followed: FollowedRun | None = None,
    early: EarlyImages | None = None,
) -> FolderContents:
    """List, check and assign the images, and say what was found.

    Args:
        source: lists the images.
        settings: of the split.
        records: folder for the records of checks and splits.
        max_pixels: larger images cannot be read.
        on_bad_image: see `read_folder`.
        pixels: settings that decide how files become pixels, for the fingerprint.
        followed: a run whose parts are kept.
        early: gets images that the check has decoded.

    Raises:
        UserError: images are missing, cannot be read or cannot be divided as the settings say.
    """
    source.report(settings)
    exact = followed is not None and followed.exact  # then a broken file counts as an image that is gone
    how: OnBadImage = "skip" if exact else on_bad_image
    found = source.read(max_pixels, how, records / "folders", followed is None, early)
    return _assign(source, settings, records, found, pixels, followed)


@pause_collections()
def _assign(
    source: ImageSource,
    settings: SplitSettings,
    records: Path,
    found: FolderImages,
    pixels: Sequence[Any],
    followed: FollowedRun | None,
) -> FolderContents:
    """Assign the images to parts, say what is new, and describe each one as a run folder keeps it."""
    root, class_names = source.root, found.label_names or source.class_names
    split = RunSplit({**asdict(settings), "fingerprint": _hash_files(found, class_names, pixels)}, [*class_names])
    if found.classes:
        split.settings["classes"] = [*found.classes]
    if followed is not None and followed.exact:
        assigned, used = recall_parts(found, followed.split)
        # The order is that of the run, even if the files have other names now.
        split.settings["fingerprint"] = followed.split.settings["fingerprint"]
    else:
        run = followed.split if followed else None
        assigned = assign_parts(found, settings, records / "splits", class_names, run)
        if run is None:
            _refuse_untrained_classes(source, assigned)
        used = choose_fraction(assigned.parts["train"], settings)
    for notice in assigned.notices:
        say(f"{root}: {notice}")
    if followed is not None:
        changes = compare_with_run(followed.split, found, assigned)
        if any(changes.values()):
            kept_class = "; a resumed run keeps their old class" * (followed.exact and bool(changes[MOVED]))
            say(f"{root}: changed since the run was trained: {format_changes(changes)}{kept_class}")
    names = {"train": ["train" if each else "rest" for each in used]}
    split.rows = [
        RunImage(name, class_names[image.label], image.content, format_path(image.file, root))
        for part in PARTS
        for name, image in zip(names.get(part, [part] * len(assigned.parts[part])), assigned.parts[part], strict=True)
    ]
    return FolderContents(assigned, used, split)


def _hash_files(found: FolderImages, class_names: Sequence[str], pixels: Sequence[Any]) -> str:
    """Hash the files in their order and how they become pixels; not the split."""
    about: list[Any] = [tuple(class_names), *pixels]
    about += [(format_path(image.file, found.root), image.content) for image in found.images]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


def choose_fraction(images: Sequence[LabeledImage], settings: SplitSettings) -> list[bool]:
    """Choose the training images that ``train_fraction`` leaves to train on, by their content and stratified."""
    if not images:  # of a run that is only scored
        return []
    labels = torch.tensor([image.label for image in images], dtype=torch.int64)
    places = [hash_to_unit(image.content, "fraction", settings.split_seed) for image in images]
    order = order_stratified(labels, settings.split_seed, torch.tensor(places, dtype=torch.float64))
    used = torch.zeros(len(images), dtype=torch.bool)
    used[take_fraction(order, settings.train_fraction)] = True
    return list(map(bool, used.tolist()))


def _refuse_untrained_classes(source: ImageSource, assigned: FolderImages) -> None:
    sets = assigned.list_label_sets(len(source.class_names))
    present = {label for image in assigned.parts["train"] for label in sets[image.label]}
    for label, name in enumerate(source.class_names):
        if label not in present:
            raise UserError(source.explain_untrained(name))


def _report_layout(layout: Layout, settings: SplitSettings) -> None:
    if layout.notes:
        say(f"{layout.root}: {'; '.join(layout.notes)}")
    for part in ("val", "test"):
        if part in layout.folders and (size := settings.get_size(part)) != DEFAULT_SIZE:
            say(f"{layout.root}: data.{part}_size {size} is not read, as {layout.folders[part]} has these images")
    if (folder := layout.unlabeled) is not None:
        drawn = "; test images are drawn from those of train" if settings.test_size else ""
        command = quote_command("predict", "--run", "RUN", "--images", folder)
        say(f"{folder}: images without class folders are not used{drawn}; to classify them: {command}")
