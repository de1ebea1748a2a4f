"""The images of a folder that has been understood: listed, checked, with their content's hash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cnnkit.data.file_checks import Check, check_files
from cnnkit.data.folders.assignment import LabeledImage
from cnnkit.data.folders.layout import Layout
from cnnkit.data.images.listing import PassedOver, describe_passed_over, merge_passed_over, scan_images
from cnnkit.errors import UserError
from cnnkit.notices import printable

LabeledFiles = list[tuple[Path, int]]
UNREADABLE = "cannot be read"
OnBadImage = Literal["error", "skip"]


@dataclass
class ReadFolder:
    """What was found.

    Args:
        parts: the images in the folder of each part that has one.
        left_out: reason to the number of files left out for it.
        notices: sentences about it.
    """

    parts: dict[str, list[LabeledImage]]
    left_out: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def read_folder(
    layout: Layout, class_names: Sequence[str], max_pixels: int, on_bad_image: OnBadImage, records: Path, complete: bool
) -> ReadFolder:
    """List the images and see which can be read.

    Args:
        layout: of the folder.
        class_names: in the order of the labels; images of other classes are not read.
        max_pixels: larger images are faulty.
        on_bad_image: what becomes of images that cannot be read.
        records: folder that remembers which files have been checked.
        complete: refuse a part, or a class to train on, without images; a run that only scores need not have all.

    Raises:
        UserError: for what is to be refused.
    """
    passed_over: PassedOver = {}
    listed = {part: _list(layout, part, class_names, passed_over) for part in layout.classes}
    if complete:
        _refuse_empty(layout, listed, class_names)
    files = [file for pairs in listed.values() for file, _ in pairs]
    checks = dict(zip(files, check_files(layout.root, files, max_pixels, records), strict=True))
    result = ReadFolder(
        {
            part: [LabeledImage(file, label, checks[file].sha256) for file, label in pairs if not checks[file].fault]
            for part, pairs in listed.items()
        }
    )
    if line := describe_passed_over(passed_over, layout.root):
        result.notices.append(line.removeprefix(f"{layout.root}: "))
        result.left_out |= {reason.partition(":")[0]: len(paths) for reason, paths in passed_over.items()}
    _refuse_or_skip(result, checks, on_bad_image)
    if complete:
        _refuse_unreadable(layout, result, class_names)
    return result


def _list(layout: Layout, part: str, class_names: Sequence[str], passed_over: PassedOver) -> LabeledFiles:
    """The image files of a part with their labels, class by class; what is passed over is added by reason."""
    found: LabeledFiles = []
    for label, name in enumerate(class_names):
        if name in layout.classes[part]:
            scanned = scan_images(layout.classes[part][name])
            found += [(file, label) for file in scanned.files]
            passed_over.update(merge_passed_over([passed_over, scanned.passed_over]))
    return found


def _refuse_empty(layout: Layout, listed: Mapping[str, LabeledFiles], class_names: Sequence[str]) -> None:
    filled = {label for _, label in listed["train"]}
    for label, name in enumerate(class_names):
        if label not in filled:
            folder = printable(layout.classes["train"][name])
            raise UserError(f"{folder}: there are no images in this class; add some or remove the folder")
    for part, pairs in listed.items():
        if not pairs:
            folder = printable(layout.folders[part])
            raise UserError(f"{folder}: there are no images; add some or remove the folder")


def _refuse_or_skip(result: ReadFolder, checks: Mapping[Path, Check], on_bad_image: OnBadImage) -> None:
    bad = [(file, check.fault) for file, check in checks.items() if check.fault]
    if not bad:
        return
    first = f"{printable(bad[0][0])}: {bad[0][1]}"
    if on_bad_image == "error":
        others = f" (and {len(bad) - 1:,} more of {len(checks):,} images)" if len(bad) > 1 else ""
        raise UserError(f"{first}{others}; mend or remove it, or set data.on_bad_image to skip")
    result.left_out[UNREADABLE] = len(bad)
    result.notices.append(f"{len(bad):,} of {len(checks):,} images left out, the first {first}")


def _refuse_unreadable(layout: Layout, result: ReadFolder, class_names: Sequence[str]) -> None:
    for label in sorted({*range(len(class_names))} - {image.label for image in result.parts["train"]}):
        folder = printable(layout.classes["train"][class_names[label]])
        raise UserError(f"{folder}: none of the images can be read; mend them or remove the folder")
    for part, images in result.parts.items():
        if not images:
            raise UserError(
                f"{printable(layout.folders[part])}: none of the images can be read; mend them, or remove "
                f"the folder to take {part} images from those of training"
            )
