"""List the images of a folder with a recognized layout, check them, and hash their content."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from cnnkit.allocator import pause_collections
from cnnkit.data.file_checks import EarlyImages, check_files
from cnnkit.data.folders.folder_images import FolderImages, LabeledImage
from cnnkit.data.folders.layout import Layout
from cnnkit.data.images.listing import PassedOver, describe_passed_over, scan_images
from cnnkit.errors import UserError
from cnnkit.notices import printable

LabeledFiles = list[tuple[Path, int]]
UNREADABLE = "cannot be read"
OnBadImage = Literal["error", "skip"]


def read_folder(
    layout: Layout,
    class_names: Sequence[str],
    max_pixels: int,
    on_bad_image: OnBadImage,
    records: Path,
    complete: bool,
    early: EarlyImages | None = None,
) -> FolderImages:
    """List the images and check which can be read.

    Args:
        layout: of the folder.
        class_names: in the order of the labels; images of other classes are not read.
        max_pixels: larger images are faulty.
        on_bad_image: ``error`` refuses images that cannot be read, ``skip`` leaves them out.
        records: folder for the record of checked files.
        complete: refuse a part, or a class to train on, without images; to score a run, not all of them are needed.
        early: gets images that the check has decoded.

    Raises:
        UserError: images are missing or cannot be read.
    """
    passed_over: PassedOver = {}
    listed = {part: list_labeled_files(layout, part, class_names, passed_over) for part in layout.classes}
    if complete:
        labels = {part: {label for _, label in pairs} for part, pairs in listed.items()}
        _refuse_empty(layout, labels, class_names, "there are no images", "add some")
    files = [file for pairs in listed.values() for file, _ in pairs]
    checks = dict(zip(files, check_files(layout.root, files, max_pixels, records, early), strict=True))
    result = FolderImages(layout.root, {})
    for part, pairs in listed.items():
        readable = [(file, label, checks[file]) for file, label in pairs if not checks[file].fault]
        result.parts[part] = [LabeledImage(file, label, check.sha256) for file, label, check in readable]
    if line := describe_passed_over(passed_over, layout.root):
        result.notices.append(line.removeprefix(f"{layout.root}: "))
        result.left_out |= {reason.partition(":")[0]: len(paths) for reason, paths in passed_over.items()}
    faults = [f"{printable(file)}: {check.fault}" for file, check in checks.items() if check.fault]
    refuse_or_skip(result, faults, len(checks), on_bad_image)
    if complete:
        labels = {part: {image.label for image in images} for part, images in result.parts.items()}
        _refuse_empty(layout, labels, class_names, "none of the images can be read", "mend them")
    return result


@pause_collections()
def list_labeled_files(layout: Layout, part: str, class_names: Sequence[str], passed_over: PassedOver) -> LabeledFiles:
    """List the image files of a part with their labels, class by class; add to `passed_over`."""
    labeled: LabeledFiles = []
    for label, name in enumerate(class_names):
        if name in layout.classes[part]:
            scanned = scan_images(layout.classes[part][name])
            labeled += [(file, label) for file in scanned.files]
            for reason, paths in scanned.passed_over.items():
                passed_over.setdefault(reason, []).extend(paths)
    return labeled


def _refuse_empty(
    layout: Layout, labels: Mapping[str, set[int]], class_names: Sequence[str], problem: str, remedy: str
) -> None:
    """Refuse a class without training images, and a part without any."""
    empty = [layout.classes["train"][name] for label, name in enumerate(class_names) if label not in labels["train"]]
    empty += [layout.folders[part] for part in layout.classes if not labels[part]]
    if empty:
        raise UserError(f"{printable(empty[0])}: {problem}; {remedy}, or remove the folder")


def refuse_or_skip(result: FolderImages, faults: Sequence[str], images: int, on_bad_image: OnBadImage) -> None:
    """Refuse images that cannot be read, or note in the result that they are left out.

    Args:
        result: gets the note.
        faults: of each such image: where it is and what is wrong.
        images: number of all images.
        on_bad_image: see `read_folder`.

    Raises:
        UserError: there are some, and on_bad_image is ``error``.
    """
    if not faults:
        return
    if on_bad_image == "error":
        others = f" (and {len(faults) - 1:,} more of {images:,} images)" if len(faults) > 1 else ""
        raise UserError(f"{faults[0]}{others}; mend or remove it, or set data.on_bad_image to skip")
    result.left_out[UNREADABLE] = len(faults)
    result.notices.append(f"{len(faults):,} of {images:,} images left out, the first {faults[0]}")
