"""Assign each image of a folder to a part: by the folder of the part, by drawing, or as a run had it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cnnkit.data.folders.drawing import (
    RARE,
    Drawn,
    NoRecord,
    PartRecord,
    Quota,
    draw,
    draw_fold,
    refuse_small_classes,
)
from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage, format_list
from cnnkit.data.folders.overlaps import leave_out_learned, settle_overlaps
from cnnkit.data.folders.run_split import RunSplit
from cnnkit.data.folders.units import count_labels, draw_units, join_units, needs_units
from cnnkit.errors import UserError


@dataclass(frozen=True)
class SplitSettings:
    """The arguments of the data module that decide on the parts; a run keeps them."""

    val_size: int | float
    test_size: int | float
    split_seed: int
    train_fraction: float = 1.0
    folds: int | None = None
    fold: int = 0

    def get_size(self, part: str) -> int | float:
        """Return the size of val or test."""
        return self.val_size if part == "val" else self.test_size


def assign_parts(
    found: FolderImages, settings: SplitSettings, records: Path | None, class_names: Sequence[str], run: RunSplit | None
) -> FolderImages:
    """Decide on the part of each image.

    Equal contents share a part. If they are in folders of several parts, test takes precedence over val, and val over
    train, so no test image is used for training or selection.

    Args:
        found: the images in the folder of each part; ``train`` is there.
        settings: sizes of the other parts.
        records: folder of the records of what was drawn; None: nothing is recorded.
        class_names: in the order of the labels.
        run: a run whose training images must not be in val or test, and whose validation images not in test.

    Raises:
        UserError: a size cannot be met.
    """
    own = found.parts.keys() - {"train"}
    result = replace(found, parts={part: list(found.parts.get(part, ())) for part in PARTS})
    settle_overlaps(result)
    if run is not None:
        leave_out_learned(result, found.images, run)
    _draw_parts(result, own, settings, records, class_names, run)
    return result


def _draw_parts(
    result: FolderImages,
    own: Iterable[str],
    settings: SplitSettings,
    records: Path | None,
    class_names: Sequence[str],
    run: RunSplit | None,
) -> None:
    """Draw the parts without a folder of their own from the training images."""
    if settings.folds is not None and "val" in own:
        raise UserError(
            f"data.folds is {settings.folds}, but {result.root / 'val'} has the validation images: leave folds out, or "
            "move these images into train"
        )
    labels = _label_contents(result.parts["train"])
    shares = _compute_shares(settings, own, len(labels))
    sizes = Counter(labels.values())
    sets = result.list_label_sets(len(class_names)) if needs_units(result) else None
    totals = count_labels(result.parts["train"], sets) if sets else None
    before = 0.0
    for part in ("test", "val"):
        if part in own:
            if run is None:
                _report_absent_classes(result, part, class_names)
            continue
        if part == "val" and settings.folds is not None:
            if sets is not None:
                raise UserError(
                    f"data.folds is {settings.folds}, but images have groups or several labels, which folds would not "
                    "keep together: leave folds out"
                )
            if run is None:
                refuse_small_classes(settings.folds, labels, class_names)
            known = {row.content: row.part == "val" for row in run.rows} if run else {}
            drawn = draw_fold(settings.folds, settings.fold, settings.split_seed, labels) | known
            _move_drawn(result, part, drawn)
            break
        size = settings.get_size(part)
        quota = Quota(
            share=shares[part],
            threshold=shares[part] / (1 - before),
            number=size if isinstance(size, int) else None,
            reserve=1 + (part == "test" and "val" not in own and shares["val"] > 0),
        )
        if sets is None:
            _refuse_too_many(part, quota, sizes)
        record = _open_record(result, part, own, settings, records, grouped=sets is not None)
        with record.lock():
            known = record.read()
            trained = {row.content: row.part == part for row in run.rows} if run else {}
            if sets is None or totals is None:
                drawn = draw(part, settings.split_seed, quota, labels, sizes, known | trained)
            else:
                units = join_units(result.parts["train"], sets)
                careful = run is not None
                drawn = draw_units(part, settings.split_seed, quota, units, totals, known | trained, careful=careful)
            if drawn.keys() - known.keys():
                record.write(drawn | known)
        _move_drawn(result, part, drawn)
        if run is None and sets is None:
            _report_drawing(result, part, quota, sizes, class_names)
        elif run is None and quota.share:
            _report_absent_classes(result, part, class_names)
            if quota.number not in (None, len(result.parts[part])):
                result.notices.append(
                    f"{part}_size is {quota.number}, but {len(result.parts[part]):,} images are drawn, as images of a "
                    "group or with several labels are divided only as far as that goes"
                )
        labels = {content: label for content, label in labels.items() if not drawn[content]}
        before += shares[part]


def _move_drawn(result: FolderImages, part: str, drawn: Drawn) -> None:
    train = result.parts["train"]
    result.parts[part] = [image for image in train if drawn[image.content]]
    result.parts["train"] = [image for image in train if not drawn[image.content]]


def _open_record(
    result: FolderImages, part: str, own: Iterable[str], settings: SplitSettings, records: Path | None, grouped: bool
) -> PartRecord | NoRecord:
    """Test is drawn first, so its record does not depend on ``val_size``."""
    if records is None:
        return NoRecord()
    sizes = {"test": None if "test" in own else settings.test_size}
    if part == "val":
        sizes["val"] = settings.val_size
    key = {"root": str(result.root.resolve()), "part": part, "sizes": sizes, "split_seed": settings.split_seed}
    return PartRecord(records, key | ({"grouped": result.grouped_by} if grouped else {}))


def _compute_shares(settings: SplitSettings, own: Iterable[str], total: int) -> dict[str, float]:
    shares = dict.fromkeys(("test", "val"), 0.0)
    for part in shares.keys() - own - ({"val"} if settings.folds is not None else set()):
        size = settings.get_size(part)
        if size < 0 or size >= (total if isinstance(size, int) else 1):
            raise UserError(
                f"{part}_size is {size}: of {total} images give a smaller number, or a share from 0 to below 1"
            )
        shares[part] = size / total if isinstance(size, int) else float(size)
    if sum(shares.values()) >= 1:
        raise UserError(
            f"val_size is {settings.val_size} and test_size {settings.test_size}: of {total} images that leaves "
            "none to train on; give less"
        )
    return shares


def _refuse_too_many(part: str, quota: Quota, sizes: Mapping[int, int]) -> None:
    most = sum(max(0, n - (quota.reserve if n >= RARE else 1)) for n in sizes.values())
    if quota.number is not None and quota.number > most:
        raise UserError(
            f"{part}_size is {quota.number}: each class keeps an image to train on, so at most {most} of "
            f"{sum(sizes.values())} can be drawn; give less"
        )


def _label_contents(images: Iterable[LabeledImage]) -> dict[str, int]:
    """Map each content to its class; to the first one if it is in several."""
    labels: dict[str, int] = {}
    for image in images:
        labels[image.content] = min(image.label, labels.get(image.content, image.label))
    return labels


def _report_absent_classes(result: FolderImages, part: str, class_names: Sequence[str]) -> None:
    """Name the classes that have no images in a part."""
    names = result.classes or class_names
    sets = result.list_label_sets(len(names))
    present = {label for image in result.parts[part] for label in sets[image.label]}
    if absent := [name for label, name in enumerate(names) if label not in present]:
        result.notices.append(f"no {part} images of {format_list(absent)}, so the {part} scores say nothing of that")


def _report_drawing(
    result: FolderImages, part: str, quota: Quota, sizes: Mapping[int, int], class_names: Sequence[str]
) -> None:
    """Say which classes have lost their images of a part, and if more are drawn than the number."""
    present = {image.label for image in result.parts[part]}
    absent = [class_names[label] for label, n in sorted(sizes.items()) if n >= RARE and label not in present]
    if absent and quota.share:
        result.notices.append(
            f"no {part} images of {format_list(absent)} any more: those of the "
            "recorded split are gone, and no other image takes their place; new images will"
        )
    if quota.number and quota.number < sum(n >= RARE for n in sizes.values()):
        result.notices.append(
            f"{part}_size is {quota.number}, but {len(result.parts[part]):,} images are drawn: one of each class with "
            f"{RARE} or more"
        )
