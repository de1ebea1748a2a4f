"""What is found in a table of images: copies, similar images, files, classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnkit.cli.commands.check_data.table import ImageTable
from cnnkit.data.images.properties import ImageProperties
from cnnkit.data.similarity import correlate_details, find_close, hash_perceptually, is_flat

PARTS = ("train", "val", "test", "rest")
FEW, UNEQUAL = 5, 10  # training images of a class; ratio of the largest class to the smallest
_TINY = 8  # pixels of a side
_CHUNK = 4000  # pairs whose pixels are compared at once


@dataclass(frozen=True)
class Finding:
    """One row of the CSV.

    Args:
        kind: exact, similar, mirrored, unreadable, tiny, special, class, label.
        part: of the image; empty for a class.
        image: its file, or its place in the official set; the class's name for a class.
        label: its class.
        other_part: of the other image of a pair.
        other: the other image.
        other_label: its class; the predicted one for a label.
        distance: bits of the hashes that differ.
        similarity: correlation of the details.
        loss: of the label.
        note: in words.
        places: in the table, for the pictures.
    """

    kind: str
    part: str
    image: str
    label: str
    other_part: str = ""
    other: str = ""
    other_label: str = ""
    distance: int | None = None
    similarity: float | None = None
    loss: float | None = None
    note: str = ""
    places: tuple[int, ...] = ()

    @property
    def crosses_parts(self) -> bool:
        """Whether a pair is in two parts."""
        return bool(self.other) and self.part != self.other_part

    @property
    def leaks(self) -> bool:
        """Whether one image of a pair is tested, and the other is in another part."""
        return self.crosses_parts and "test" in (self.part, self.other_part)

    @property
    def crosses_classes(self) -> bool:
        """Whether a pair is in two classes."""
        return bool(self.other) and self.label != self.other_label


def find_exact(table: ImageTable) -> list[Finding]:
    """Find the images that are equal to an earlier one, each with the first of its kind."""
    order = table.contents.argsort(stable=True)
    ranked = table.contents[order]
    starts = torch.cat([torch.ones(min(1, len(ranked)), dtype=torch.bool), ranked[1:] != ranked[:-1]])
    first = order[starts.nonzero().flatten()][starts.long().cumsum(0) - 1] if len(order) else order
    pairs = torch.stack([first, order], 1)[~starts]
    if not table.properties and len(pairs):  # of arrays, the hash is confirmed by the pixels
        pairs = pairs[_are_equal(table, pairs)]
    return [_as_pair("exact", table, int(a), int(b), 0, 1.0) for a, b in pairs.tolist()]


def find_similar(table: ImageTable, distance: int, similarity: float, mirrored: bool = False) -> list[Finding]:
    """Find pairs of similar images that are not equal.

    Args:
        table: the images.
        distance: bits of the hashes that may differ.
        similarity: least correlation of the details.
        mirrored: compare each image with the mirrored others, instead.
    """
    hashes, flat = hash_perceptually(table.gray), is_flat(table.gray)
    gray = table.gray.flip(-1) if mirrored else table.gray
    others = hash_perceptually(gray) if mirrored else None
    found = []
    for block in find_close(hashes, others, distance, once=True):
        a, b = block[:, 0], block[:, 1]
        block = block[~flat[a] & ~flat[b] & ((table.contents[a] != table.contents[b]) | mirrored)]
        for pairs in torch.split(block, _CHUNK):
            values = correlate_details(table.gray[pairs[:, 0]], gray[pairs[:, 1]])
            found += [
                _as_pair("mirrored" if mirrored else "similar", table, a, b, bits, value)
                for (a, b, bits), value in zip(pairs.tolist(), values.tolist(), strict=True)
                if value >= similarity
            ]
    return sorted(found, key=lambda pair: -(pair.similarity or 0))


def find_files(table: ImageTable, size: tuple[int, int]) -> Iterator[Finding]:
    """Find the files that cannot be read, are tiny, or are read in part.

    Args:
        table: of files.
        size: height and width to which they are scaled.
    """
    for part, label, name, reason in table.unreadable:
        yield Finding("unreadable", part, name, str(table.class_names[label]), note=reason)
    for place, properties in enumerate(table.properties):
        notes = [("special", note) for note in properties.describe_special()]
        for kind, note in [*_find_tiny(properties, size), *notes]:
            yield Finding(
                kind, table.parts[place], table.names[place], table.class_of(place), note=note, places=(place,)
            )


def _find_tiny(properties: ImageProperties, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    sides = properties.width, properties.height
    if 0 < min(sides) < _TINY or 4 * min(sides) <= min(size):
        yield "tiny", f"{sides[0]}x{sides[1]} pixels, enlarged to {size[1]}x{size[0]}"


def count_classes(table: ImageTable) -> dict[str, list[int]]:
    """Count the images of each part by class."""
    counts = {}
    for part in PARTS:
        chosen = torch.tensor([each == part for each in table.parts], dtype=torch.bool)
        if bool(chosen.any()):
            counts[part] = table.labels[chosen].bincount(minlength=len(table.class_names)).tolist()
    return counts


def find_classes(names: Sequence[str], counts: dict[str, list[int]]) -> Iterator[Finding]:
    """Find classes with few training images, or none in another part."""
    trained = counts.get("train", [0] * len(names))
    for k, name in enumerate(names):
        if trained[k] < FEW:
            yield Finding("class", "train", name, name, note=f"{trained[k]} training images")
        elif max(trained) > UNEQUAL * trained[k]:
            largest = names[trained.index(max(trained))]
            yield Finding(
                "class", "train", name, name, note=f"{trained[k]:,} training images, {largest} has {max(trained):,}"
            )
        for part in ("val", "test"):
            if part in counts and not counts[part][k]:
                yield Finding("class", part, name, name, note=f"no {part} images")


def _as_pair(kind: str, table: ImageTable, a: int, b: int, distance: int, similarity: float) -> Finding:
    return Finding(
        kind,
        table.parts[a],
        table.names[a],
        table.class_of(a),
        table.parts[b],
        table.names[b],
        table.class_of(b),
        distance=distance,
        similarity=similarity,
        places=(a, b),
    )


def _are_equal(table: ImageTable, pairs: Tensor) -> Tensor:
    chunks = torch.split(pairs, _CHUNK)
    equal = [(table.load(part[:, 0]) == table.load(part[:, 1])).flatten(1).all(1) for part in chunks]
    return torch.cat(equal)
