"""Which images of a folder validate and which test, by their content: no other file moves an image.

An image has one number in [0, 1), a hash of its content and ``split_seed``. Those below a threshold are drawn, so that
the number decides alone as long as a class stays within its bounds; at a bound the images nearest to the threshold go
to the other side. What was once drawn, or not, is kept in a record, and nothing that stands in it ever changes sides.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnkit.data.download import lock
from cnnkit.errors import UserError
from cnnkit.files import write_atomically
from cnnkit.notices import say

VERSION = 1
RARE = 3  # a class with as many images has one of them in every part
Drawn = dict[str, bool]  # of each content, whether it was drawn


@dataclass(frozen=True)
class Quota:
    """How many images of each class are drawn.

    Args:
        share: of all images, 0 to 1.
        threshold: numbers below it are drawn; above ``share`` where other parts were drawn before.
        number: asked for as a number of images, which is met exactly; None: asked for as a share.
        reserve: images of a class with at least `RARE` that must remain for the parts that come after.
    """

    share: float
    threshold: float
    number: int | None
    reserve: int

    def bounds(self, sizes: Mapping[int, int], most: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """The least and the largest number of each class.

        With a share the bounds are its expected number m, give or take the square root of m or 1, whichever is more;
        with a number both are the same. No class of `RARE` or more images gets less than one.

        Args:
            sizes: images of each class, of which the share is taken.
            most: images of each class that can be drawn.
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
    """Whole numbers near the expected ones that add up to ``number``, as far as their limits allow: by remainder."""
    counts = {k: min(max(least[k], math.floor(m)), most.get(k, 0)) for k, m in expected.items()}
    while sum(counts.values()) < number and (free := [k for k in counts if counts[k] < most.get(k, 0)]):
        for k in sorted(free, key=lambda k: (counts[k] - expected[k], k))[: number - sum(counts.values())]:
            counts[k] += 1
    while sum(counts.values()) > number and (free := [k for k in counts if counts[k] > least[k]]):
        for k in sorted(free, key=lambda k: (expected[k] - counts[k], k))[: sum(counts.values()) - number]:
            counts[k] -= 1
    return counts


def hash_to_unit(content: str, part: str, seed: int) -> float:
    """The number of an image in [0, 1) for the drawing of a part; for ever the same.

    Args:
        content: hash of the file.
        part: ``val``, ``test`` or ``fraction``.
        seed: ``split_seed``.
    """
    digest = hashlib.sha256(f"{seed} {part} {content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw(
    part: str, seed: int, quota: Quota, labels: Mapping[str, int], sizes: Mapping[int, int], known: Mapping[str, bool]
) -> Drawn:
    """Draw the images of a part.

    Args:
        part: ``val`` or ``test``.
        seed: ``split_seed``.
        quota: how many.
        labels: class of each content to draw from.
        sizes: images of each class that the quota is of; more than ``labels`` has where other parts were drawn before.
        known: what was decided earlier, also of contents that are not there now. It is never changed.

    Returns:
        Whether it is drawn, for each content in ``labels``.
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


class PartRecord:
    """What has been drawn from a folder so far, kept in the data folder; without it `draw` decides from nothing.

    Args:
        folder: where records are.
        key: what the drawing depends on besides the images: the folder, the part, sizes and seed.
    """

    def __init__(self, folder: Path, key: Mapping[str, object]) -> None:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.path, self.head = folder / f"{name}.json", {"version": VERSION, **key}

    def read(self) -> Drawn:
        """What is known; nothing where there is no record.

        Raises:
            UserError: if it is damaged: to go on would move images.
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
                f"{self.path}: the record of a folder's split is damaged; bring it back from a backup, or delete it to "
                "draw the split from the images alone"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the record against other runs, where a file can be written; elsewhere say that nothing is recorded."""
        with ExitStack() as stack:
            try:
                stack.enter_context(lock(self.path.with_suffix(".lock")))
            except UserError:
                say(
                    f"{self.path.parent}: cannot be written, so the split is not recorded; set data.data_dir to keep it"
                )
            yield

    def write(self, known: Drawn) -> None:
        """Keep what is known now, where a file can be written."""
        record: dict[str, Any] = {**self.head, "drawn": [], "others": []}
        for content, is_drawn in known.items():
            record["drawn" if is_drawn else "others"].append(content)
        with suppress(OSError):
            write_atomically(self.path, json.dumps(record))
