"""Images that belong in several parts, or that a run has learned from: each stays in one part, and a notice says so."""

from collections.abc import Sequence

from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage, format_path
from cnnkit.data.folders.run_split import RunSplit

_MEANING = {
    "several parts": "each is used in one of them",
    "several classes": "one of the classes is wrong: remove that file",
    "one class": "they share a part",
}


def settle_overlaps(result: FolderImages) -> None:
    """Keep each content in one part: test takes precedence over val, and val over train.

    Args:
        result: all parts; changed in place.
    """
    _count_copies(result)
    later: set[str] = set()
    for part in reversed(PARTS):  # test first
        _leave_out(result, part, later, f"in {' or '.join(PARTS[PARTS.index(part) + 1 :])} as well")
        later |= {image.content for image in result.parts[part]}


def leave_out_learned(result: FolderImages, found: Sequence[LabeledImage], run: RunSplit) -> None:
    """Leave the images that a run trained on out of val and test, and those it validated on out of test.

    Args:
        result: all parts; changed in place.
        found: all images, also those that are in no part by now: an image that was learned counts as its whole group.
        run: the parts of the run.
    """
    learned = (("test", "train", "trained"), ("test", "val", "validated"), ("val", "train", "trained"))
    for part, other, verb in learned:
        contents = _add_groups(found, {row.content for row in run.rows if row.part == other})
        _leave_out(result, part, contents, f"{verb} on by this run")


def _add_groups(images: Sequence[LabeledImage], contents: set[str]) -> set[str]:
    """Add the contents of all groups that have one of these."""
    groups = {image.group for image in images if image.group and image.content in contents}
    return contents | {image.content for image in images if image.group in groups}


def _leave_out(result: FolderImages, part: str, contents: set[str], reason: str) -> None:
    images = result.parts[part]
    gone = [image for image in images if image.content in contents]
    if not gone:
        return
    result.parts[part] = [image for image in images if image.content not in contents]
    result.left_out[f"{part}: {reason}"] = len(gone)
    kind = {"train": "training", "val": "validation", "test": "test"}[part]
    example = format_path(gone[0].file, result.root) + " ..." * (len(gone) > 1)
    result.notices.append(f"{len(gone):,} of {len(images):,} {kind} images left out, being {reason} ({example})")


def _count_copies(result: FolderImages) -> None:
    """Count and name equal images of one class, of several classes and in several parts."""
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
        names = " = ".join(format_path(image.file, result.root) for image in pairs[0]) + " ..." * (len(pairs) > 1)
        groups.append(f"{len(pairs):,} in {kind} ({names}; {_MEANING[kind]})")
    if groups:
        result.notices.append(f"equal images: {', '.join(groups)}")
