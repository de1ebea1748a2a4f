"""Each image of a folder to its part: what has a folder of its own, what is drawn, what was trained on before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cnnkit.data.folders.drawing import RARE, Drawn, PartRecord, Quota
from cnnkit.data.folders.run_split import RunSplit, format_path
from cnnkit.errors import UserError
from cnnkit.notices import printable

PARTS = ("train", "val", "test")
Size = int | float
_MEANING = {
    "several parts": "each is used in one of them",
    "several classes": "one of the classes is wrong: remove that file",
    "one class": "they share a part",
}


class LabeledImage(NamedTuple):
    """A file that can be read.

    Args:
        file: its path.
        label: its class.
        content: hash of its bytes; 16 hex digits.
    """

    file: Path
    label: int
    content: str


@dataclass
class Assignment:
    """The images of each part.

    Args:
        parts: train, val and test; an image is in one of them at most.
        copies: what was found of equal images: kind to their number.
        left_out: reason to the number of images that are in no part for it.
        notices: sentences about both.
    """

    parts: dict[str, list[LabeledImage]]
    copies: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DrawSettings:
    """How the parts without a folder of their own are drawn from the training images.

    Args:
        sizes: ``val_size`` and ``test_size``.
        seed: ``split_seed``.
        records: folder of the records.
        root: the folder of images.
    """

    sizes: Mapping[str, Size]
    seed: int
    records: Path
    root: Path


def assign_parts(
    found: Mapping[str, Sequence[LabeledImage]],
    drawing: DrawSettings,
    class_names: Sequence[str],
    trained: RunSplit | None,
) -> Assignment:
    """Decide on the part of each image.

    Equal contents share a part. Where they are in folders of several parts, test wins over val and val over train:
    a test image is never trained on or selected by.

    Args:
        found: the images in the folder of each part; ``train`` is there.
        drawing: for the parts that are not.
        class_names: in the order of the labels.
        trained: a run's images: what it was trained on is in neither val nor test, and so on.

    Raises:
        UserError: a size cannot be met.
    """
    result = Assignment({part: list(found.get(part, ())) for part in PARTS})
    _count_copies(result, drawing.root)
    taken: set[str] = set()
    for part in reversed(PARTS):  # test first
        _leave_out(result, part, taken, drawing.root, f"in {' or '.join(PARTS[PARTS.index(part) + 1 :])} as well")
        taken |= {image.content for image in result.parts[part]}
    if trained is not None:
        of_run = {part: {row.content for row in trained.rows if row.part == part} for part in PARTS}
        _leave_out(result, "test", of_run["train"], drawing.root, "trained on by this run")
        _leave_out(result, "test", of_run["val"], drawing.root, "validated on by this run")
        _leave_out(result, "val", of_run["train"], drawing.root, "trained on by this run")
    own = set(found) - {"train"}
    shares = _shares(drawing, own, len({image.content for image in result.parts["train"]}))
    labels = _labels(result.parts["train"])
    sizes = Counter(labels.values())
    before = 0.0
    for part in ("test", "val"):
        if part in own:
            if trained is None:
                _say_absent(result, part, class_names)
            continue
        size = drawing.sizes[part]
        quota = Quota(
            share=shares[part],
            threshold=shares[part] / (1 - before),
            number=size if isinstance(size, int) else None,
            reserve=1 + (part == "test" and "val" not in own and shares["val"] > 0),
        )
        _refuse_too_many(part, quota, sizes)
        record = PartRecord(drawing.records, _key(drawing, part, own))
        drawn = record.extend(part, drawing.seed, quota, labels, sizes, trained.of(part) if trained else {})
        _move(result, part, drawn)
        if trained is None:
            _say_missing(result, part, quota, sizes, class_names)
            _say_more(result, part, quota, sizes)
        labels = {content: label for content, label in labels.items() if not drawn[content]}
        before += shares[part]
    return result


def _key(drawing: DrawSettings, part: str, own: set[str]) -> dict[str, object]:
    """What a part's drawing depends on: test comes first, and does not depend on ``val_size``."""
    sizes = {"test": None if "test" in own else drawing.sizes["test"]}
    if part == "val":
        sizes["val"] = drawing.sizes["val"]
    return {"root": str(drawing.root.resolve()), "part": part, "sizes": sizes, "split_seed": drawing.seed}


def _shares(drawing: DrawSettings, own: set[str], total: int) -> dict[str, float]:
    shares = dict.fromkeys(("test", "val"), 0.0)
    for part in shares.keys() - own:
        size = drawing.sizes[part]
        if size < 0 or size >= (total if isinstance(size, int) else 1):
            raise UserError(
                f"{part}_size is {size}: of {total} images give a smaller number, or a share from 0 to below 1"
            )
        shares[part] = size / total if isinstance(size, int) else float(size)
    if sum(shares.values()) >= 1:
        raise UserError(
            f"val_size is {drawing.sizes['val']} and test_size {drawing.sizes['test']}: of {total} images that leaves "
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


def _labels(images: Iterable[LabeledImage]) -> dict[str, int]:
    """The class of each content; the first one where it is in several."""
    labels: dict[str, int] = {}
    for image in images:
        labels[image.content] = min(image.label, labels.get(image.content, image.label))
    return labels


def _move(result: Assignment, part: str, drawn: Drawn) -> None:
    train = result.parts["train"]
    result.parts[part] = [image for image in train if drawn[image.content]]
    result.parts["train"] = [image for image in train if not drawn[image.content]]


def _leave_out(result: Assignment, part: str, contents: set[str], root: Path, reason: str) -> None:
    images = result.parts[part]
    gone = [image for image in images if image.content in contents]
    if not gone:
        return
    result.parts[part] = [image for image in images if image.content not in contents]
    result.left_out[f"{part}: {reason}"] = len(gone)
    what = {"train": "training", "val": "validation", "test": "test"}[part]
    result.notices.append(
        f"{len(gone):,} of {len(images):,} {what} images left out, being {reason} ({format_path(gone[0].file, root)}"
        f"{' ...' * (len(gone) > 1)})"
    )


def _count_copies(result: Assignment, root: Path) -> None:
    """Count and name equal images of one class and of several; what becomes of those in several parts is said apart."""
    first: dict[str, tuple[str, LabeledImage]] = {}
    kinds: dict[str, list[tuple[LabeledImage, LabeledImage]]] = {}
    for part, image in ((name, image) for name in PARTS for image in result.parts[name]):
        before, other = first.setdefault(image.content, (part, image))
        if other is not image:
            kind = "several classes" if other.label != image.label else "one class"
            kind = "several parts" if before != part and kind == "one class" else kind
            kinds.setdefault(kind, []).append((other, image))
    result.copies = {kind: len(pairs) for kind, pairs in kinds.items()}
    groups = []
    for kind, pairs in kinds.items():
        names = " = ".join(format_path(image.file, root) for image in pairs[0]) + " ..." * (len(pairs) > 1)
        groups.append(f"{len(pairs):,} in {kind} ({names}; {_MEANING[kind]})")
    if groups:
        result.notices.append(f"equal images: {', '.join(groups)}")


def _say_missing(
    result: Assignment, part: str, quota: Quota, sizes: Mapping[int, int], class_names: Sequence[str]
) -> None:
    """Name classes that a part lacks although they have enough images: those that were there have been removed."""
    there = {image.label for image in result.parts[part]}
    lacking = [class_names[k] for k, n in sorted(sizes.items()) if n >= RARE and k not in there]
    if lacking and quota.share:
        result.notices.append(
            f"no {part} images of {', '.join(lacking[:3])}{' ...' * (len(lacking) > 3)} any more: those of the "
            "recorded split are gone, and no other image takes their place; new images will"
        )


def _say_absent(result: Assignment, part: str, class_names: Sequence[str]) -> None:
    """Name classes that a part with a folder of its own has no images of, so that its scores say nothing of them."""
    there = {image.label for image in result.parts[part]}
    if lacking := [printable(name) for label, name in enumerate(class_names) if label not in there]:
        result.notices.append(
            f"no {part} images of {', '.join(lacking[:3])}{' ...' * (len(lacking) > 3)}, so the {part} scores say "
            "nothing of that"
        )


def _say_more(result: Assignment, part: str, quota: Quota, sizes: Mapping[int, int]) -> None:
    """Where a number is too small for an image of each class."""
    if quota.number and quota.number < sum(n >= RARE for n in sizes.values()):
        result.notices.append(
            f"{part}_size is {quota.number}, but {len(result.parts[part]):,} images are drawn: one of each class with "
            f"{RARE} or more"
        )
