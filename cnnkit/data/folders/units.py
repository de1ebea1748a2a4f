"""Draw images that stay together, or that have several labels: as well stratified as possible.

A unit is all images that must share a part: those of a group, those of equal content, and both together. Units are
taken in the order of a hash, so that the images alone decide; then units are added, removed or swapped while that
brings the classes closer to their share. (Sechidis et al. 2011 stratify several labels by a similar greedy rule.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cnnkit.data.folders.drawing import RARE, Drawn, Quota, hash_to_unit
from cnnkit.data.folders.folder_images import FolderImages, LabeledImage

_PASSES = 10  # over all units, to add or remove single ones
_SWAPS, _FEW = 50, 1000  # of two units, if there are few
_LEAST = 1e-9  # improvement


@dataclass
class Unit:
    """Images that share a part.

    Args:
        name: decides, with the seed, on its place in the order.
        contents: of its images.
        counts: images, or contents, of each class, and last their number; float64 (K + 1,).
    """

    name: str
    contents: set[str] = field(default_factory=set)
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


def needs_units(found: FolderImages) -> bool:
    """Whether images are in groups, or have several labels."""
    return found.label_sets is not None or any(image.group for image in found.images)


def count_labels(images: Iterable[LabeledImage], label_sets: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
    """Count the contents of each class, and last all of them; float64 (K + 1,)."""
    return sum((unit.counts for unit in join_units(images, label_sets)), np.zeros(_width(label_sets)))


def _width(label_sets: Sequence[tuple[int, ...]]) -> int:
    return 2 + max((label for labels in label_sets for label in labels), default=-1)


def join_units(images: Iterable[LabeledImage], label_sets: Sequence[tuple[int, ...]]) -> list[Unit]:
    """Join images of one group or one content to units; the name of a unit is its last group, or its content."""
    width = _width(label_sets)
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    labels: dict[str, tuple[int, ...]] = {}
    for image in images:
        labels.setdefault(image.content, label_sets[image.label])
        key = f"c {image.content}"
        one, other = sorted((find(key), find(f"g {image.group}" if image.group else key)))
        parent[one] = other  # a name of a group comes after that of a content
    units: dict[str, Unit] = {}
    for content, of_content in labels.items():
        name = find(f"c {content}")
        unit = units.setdefault(name, Unit(name[2:], counts=np.zeros(width)))
        unit.contents.add(content)
        unit.counts[[*of_content, width - 1]] += 1
    return list(units.values())


def draw_units(
    part: str,
    seed: int,
    quota: Quota,
    units: Sequence[Unit],
    totals: NDArray[np.float64],
    known: Mapping[str, bool],
    *,
    careful: bool,
) -> Drawn:
    """Draw the units of a part: for each content whether it is drawn.

    Args:
        part: val or test.
        seed: names the split.
        quota: how many images.
        units: of all images that are left.
        totals: images of each class, and of all classes, before any part was drawn; (K + 1,).
        known: earlier decisions. A unit follows those of its contents.
        careful: a unit is in the part only if all of its known contents were; else if any was.
    """
    if not quota.share or not units:
        return {content: False for unit in units for content in unit.contents}
    chosen = np.zeros(len(units), dtype=bool)
    fixed = np.zeros(len(units), dtype=bool)
    for i, unit in enumerate(units):
        if decisions := [known[content] for content in unit.contents if content in known]:
            fixed[i], chosen[i] = True, all(decisions) if careful else any(decisions)
    counts = np.stack([unit.counts for unit in units])
    order = sorted((hash_to_unit(unit.name, part, seed), unit.name, i) for i, unit in enumerate(units) if not fixed[i])
    _choose(counts, chosen, [i for _, _, i in order], quota, totals)
    return {content: bool(chosen[i]) for i, unit in enumerate(units) for content in unit.contents}


def _choose(
    counts: NDArray[np.float64], chosen: NDArray[np.bool_], order: list[int], quota: Quota, totals: NDArray[np.float64]
) -> None:
    """Choose units in place so that the counts come close to their share; each class keeps units for other parts."""
    has = (counts[:, :-1] > 0).astype(np.int64)
    holders = has.sum(0)  # units of each class
    reserve = np.where(holders >= RARE, quota.reserve, 1)
    target = quota.share * totals
    target[:-1] = np.where((holders >= RARE) & (totals[:-1] > 0), np.maximum(target[:-1], 1), target[:-1])
    weight = 1 / np.maximum(target, 1)
    weight[-1] *= len(target) - 1  # the number of images is as important as all classes together

    def measure(have: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distance of counts (..., K + 1) to their share."""
        return np.asarray((weight * (have - target) ** 2).sum(-1))

    have, left = counts[chosen].sum(0), has[~chosen].sum(0)
    distance = measure(have)
    for _ in range(_PASSES):
        changed = False
        for i in order:
            sign = -1 if chosen[i] else 1
            new = have + sign * counts[i]
            if (better := measure(new)) >= distance - _LEAST or (sign > 0 and (has[i] * (left - 1 < reserve)).any()):
                continue
            have, left, distance, chosen[i], changed = new, left - sign * has[i], better, not chosen[i], True
        if not changed:
            break
    for _ in range(_SWAPS if len(order) <= _FEW else 0):
        inside, outside = (np.array([i for i in order if chosen[i] == side], dtype=np.int64) for side in (True, False))
        if not len(inside) or not len(outside):
            return
        stays = left + has[inside][:, None] - has[outside] >= reserve
        distances = measure(have - counts[inside][:, None] + counts[outside])
        distances[~(stays | (has[outside] == 0)).all(-1)] = np.inf
        one, other = np.unravel_index(distances.argmin(), distances.shape)
        if distances[one, other] >= distance - _LEAST:
            return
        distance = distances[one, other]
        have = have - counts[inside[one]] + counts[outside[other]]
        chosen[inside[one]], chosen[outside[other]] = False, True
        left = left + has[inside[one]] - has[outside[other]]
