"""Draw the images of a folder that validate or test, by their content, so that other files never move an image.

An image has a number in [0, 1), a hash of its content and ``split_seed``, and those below a threshold are drawn. If a
class would then have too many or too few, the images nearest to the threshold change sides. A record keeps every
decision, and a recorded image never changes its part.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.data.originals.download import lock
from cnnkit.errors import UserError
from cnnkit.files import write_atomically
from cnnkit.notices import printable, say

VERSION = 1
RARE = 3  # a class with so many images or more has one in every part
Drawn = dict[str, bool]  # content to whether it was drawn


@dataclass(frozen=True)
class Quota:
    """How many images of each class are drawn.

    Args:
        share: of all images, 0 to 1.
        threshold: numbers below it are drawn; larger than ``share`` if another part was drawn before.
        number: exact number of images; None if the size is a share.
        reserve: images of a class with at least `RARE` that must remain for the other parts.
    """

    share: float
    threshold: float
    number: int | None
    reserve: int

    def bounds(self, sizes: Mapping[int, int], most: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """Return the least and the largest number to draw of `sizes` images in each class, at most `most`.

        With a share the bounds are the expected number m plus and minus max(1, sqrt(m)); with a number both are the
        same. A class of `RARE` or more images gets at least one.
        """
        least = {k: min(int(n >= RARE and self.share > 0), most.get(k, 0)) for k, n in sizes.items()}
        expected = {k: self.share * n for k, n in sizes.items()}
        if self.number is not None:
            exact = _apportion(self.number, expected, least, most)
            return {k: (count, count) for k, count in exact.items()}
        spread = {k: max(1.0, math.sqrt(m)) for k, m in expected.items()}
        low = {k: max(least[k], math.ceil(m - spread[k])) for k, m in expected.items()}
        return {k: (low[k], max(low[k], math.floor(m + spread[k]))) for k, m in expected.items()}


def _apportion(
    number: int, expected: Mapping[int, float], least: Mapping[int, int], most: Mapping[int, int]
) -> dict[int, int]:
    """Round the expected numbers so that they add up to ``number`` if the limits allow it: by largest remainder."""
    counts = {k: min(max(least[k], math.floor(m)), most.get(k, 0)) for k, m in expected.items()}
    while sum(counts.values()) < number and (free := [k for k in counts if counts[k] < most.get(k, 0)]):
        for k in sorted(free, key=lambda k: (counts[k] - expected[k], k))[: number - sum(counts.values())]:
            counts[k] += 1
    while sum(counts.values()) > number and (free := [k for k in counts if counts[k] > least[k]]):
        for k in sorted(free, key=lambda k: (expected[k] - counts[k], k))[: sum(counts.values()) - number]:
            counts[k] -= 1
    return counts


def hash_to_unit(content: str, part: str, seed: int) -> float:
    """Hash an image's content to its number in [0, 1) for a part (``val``, ``test`` or ``fraction``)."""
    digest = hashlib.sha256(f"{seed} {part} {content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw(
    part: str, seed: int, quota: Quota, labels: Mapping[str, int], sizes: Mapping[int, int], known: Mapping[str, bool]
) -> Drawn:
    """Draw the images of a part: for each content in `labels`, whether it is drawn.

    `sizes` is the number of images in each class before any part was drawn. `known` has earlier decisions, which are
    kept; it may hold contents that are gone now.
    """
    if not quota.share:
        return dict.fromkeys(labels, False)
    by_class: dict[int, list[str]] = {}
    for content, label in labels.items():
        by_class.setdefault(label, []).append(content)
    most = {k: max(0, len(c) - (quota.reserve if sizes[k] >= RARE else 1)) for k, c in by_class.items()}
    bounds = quota.bounds(sizes, most)
    drawn: Drawn = {}
    for label, contents in by_class.items():
        places = sorted((hash_to_unit(content, part, seed), content) for content in contents if content not in known)
        have = sum(known.get(content, False) for content in contents)
        low, high = bounds[label]
        count = sum(place < quota.threshold for place, _ in places)
        count = min(max(count, low - have), max(0, min(high, most[label]) - have), len(places))
        drawn |= {content: rank < count for rank, (_, content) in enumerate(places)}
        drawn |= {content: known[content] for content in contents if content in known}
    return drawn


def draw_fold(folds: int, fold: int, seed: int, labels: Mapping[str, int]) -> Drawn:
    """Draw the images of one fold: the contents of a class, in the order of a hash, take turns, and so do the classes.

    The folds are disjoint and cover all contents; in each class they differ by at most one content. They depend on the
    contents and ``seed`` alone.
    """
    order = sorted(labels, key=lambda content: (labels[content], hash_to_unit(content, "fold", seed), content))
    return {content: place % folds == fold for place, content in enumerate(order)}


def refuse_small_classes(folds: int, labels: Mapping[str, int], class_names: Sequence[str]) -> None:
    """Refuse more folds than a class has contents with a `UserError`."""
    sizes = Counter(labels.values())
    small = min(sizes, key=lambda label: (sizes[label], label))
    if sizes[small] < folds:
        raise UserError(
            f"data.folds is {folds}, but {printable(class_names[small])} has {sizes[small]} images for training and "
            f"validation: give at most {sizes[small]}, or add images"
        )


class PartRecord:
    """The file that keeps which images of a folder have been drawn for a part.

    Args:
        folder: folder for records.
        key: all that the drawing depends on besides the images: the folder, the part, sizes and seed.
    """

    def __init__(self, folder: Path, key: Mapping[str, object]) -> None:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.path, self.head = folder / f"{name}.json", {"version": VERSION, **key}

    def read(self) -> Drawn:
        """Read the earlier decisions; empty if there is no record.

        Raises:
            UserError: the record is damaged, and to continue could move images.
        """
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
            return dict.fromkeys(record["drawn"], True) | dict.fromkeys(record["others"], False)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}); give yourself the right to") from None
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.path}: the record of a folder's split is damaged; restore it from a backup, or delete it to "
                "draw the split from the images alone"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the record against other runs; if the folder cannot be written to, say that nothing is recorded."""
        with ExitStack() as stack:
            try:
                stack.enter_context(lock(self.path.with_suffix(".lock"), "divides a folder of images into parts"))
            except UserError:
                say(f"{self.path.parent}: cannot be written, so no split is recorded; set data.data_dir to keep it")
            yield

    def write(self, known: Drawn) -> None:
        """Write the decisions, if the folder can be written to."""
        record: dict[str, Any] = {**self.head, "drawn": [], "others": []}
        for content, is_drawn in known.items():
            record["drawn" if is_drawn else "others"].append(content)
        with suppress(OSError):
            write_atomically(self.path, json.dumps(record))


class NoRecord:
    """In place of a `PartRecord`, where the images alone decide."""

    def read(self) -> Drawn:
        """There are no earlier decisions."""
        return {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold nothing."""
        yield

    def write(self, known: Drawn) -> None:
        """Write nothing."""
