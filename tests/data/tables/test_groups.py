"""Groups stay together in every split that cnnkit makes, stratified as well as possible, and images never move."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.data.folders.assignment import SplitSettings, assign_parts
from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage
from cnnkit.data.folders.run_split import RunImage, RunSplit

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(0, 40)), min_size=8, max_size=60)


def image(number: int, label: int, group: str, content: str | None = None) -> LabeledImage:
    return LabeledImage(Path(f"{number}.png"), label, content or f"{number:016x}", group)


def divide(
    images: Sequence[LabeledImage], records: Path | None = None, run: RunSplit | None = None, size: float = 0.2
) -> FolderImages:
    found = FolderImages(Path("photos"), {"train": list(images)})
    return assign_parts(found, SplitSettings(size, size, 0), records, ["a", "b", "c"], run)


def parts_of(result: FolderImages, key: str) -> dict[str, set[str]]:
    parts: dict[str, set[str]] = {}
    for part, images in result.parts.items():
        for each in images:
            parts.setdefault(getattr(each, key), set()).add(part)
    return parts


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_neither_a_group_nor_a_content_spans_parts(rows: list[tuple[int, int, int]]) -> None:
    result = divide([image(k, label, f"g{group}", f"{c:016x}") for k, (label, group, c) in enumerate(rows)])
    for key in ("group", "content"):
        assert all(len(parts) == 1 for parts in parts_of(result, key).values())
    assert len(result.images) == len(rows)


def made_groups(seed: int, groups: int = 80) -> list[LabeledImage]:
    rng = np.random.default_rng(seed)
    images: list[LabeledImage] = []
    for group in range(groups):
        main = int(rng.integers(3))
        for _ in range(int(rng.integers(1, 9))):
            label = main if rng.random() < 0.8 else int(rng.integers(3))
            images.append(image(len(images) + 10_000 * seed, label, f"p{group}"))
    return images


def test_parts_are_stratified_as_well_as_scikit_learn_does() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    ours, theirs = [], []
    for seed in range(5):
        images = made_groups(seed)
        labels, groups = np.array([i.label for i in images]), np.array([i.group for i in images])
        wanted, result = 0.2 * np.bincount(labels, minlength=3), divide(images)

        def distance(of_part: np.ndarray, wanted: np.ndarray = wanted) -> float:
            return float(np.abs(np.bincount(of_part, minlength=3) - wanted).sum() / wanted.sum())

        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)
        theirs += [distance(labels[test]) for _, test in folds]
        ours += [distance(np.array([i.label for i in result.parts[part]])) for part in ("test", "val")]
    assert np.mean(ours) <= np.mean(theirs)
    assert max(ours) <= 0.05


def test_the_order_of_rows_changes_nothing_and_a_record_keeps_groups_in_their_parts(tmp_path: Path) -> None:
    images = made_groups(7)
    first = parts_of(divide(images, tmp_path), "group")
    assert parts_of(divide(images[::-1]), "group") == first
    more = images + [image(99_000 + k, k % 3, f"p{k % 80}") for k in range(60)]  # more images of the same patients
    more += [image(98_000 + k, k % 3, f"new{k // 3}") for k in range(60)]
    then = parts_of(divide(more, tmp_path), "group")
    assert {group: then[group] for group in first} == first
    assert all(len(parts) == 1 for parts in then.values())
    assert set(PARTS) == {part for group in then if group.startswith("new") for part in then[group]}


def test_a_new_image_of_a_patient_that_was_trained_on_is_never_scored() -> None:
    images = made_groups(3)
    result = divide(images)
    rows = [RunImage(part, "abc"[i.label], i.content, str(i.file)) for part in PARTS for i in result.parts[part]]
    run = RunSplit({}, ["a", "b", "c"], rows)
    trained = sorted({i.group for i in result.parts["train"]})
    new = [image(70_000 + k, k % 3, group) for k, group in enumerate(trained)]
    own_test = FolderImages(Path("photos"), {"train": list(images), "test": new})
    later = assign_parts(own_test, SplitSettings(0.2, 0.2, 0), None, ["a", "b", "c"], run)
    assert not later.parts["test"]
    drawn = divide([*images, *new], run=run)
    assert Counter(i.content for i in drawn.parts["test"]) == Counter(i.content for i in result.parts["test"])
