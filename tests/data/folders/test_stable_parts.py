"""No image of a folder ever changes its part, whatever is added, removed, renamed or copied."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from assigned_parts import assign, content, photos, sides
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.errors import UserError

STEP = st.tuples(
    st.sampled_from(["add", "remove", "rename", "break", "mend", "copy", "copy to another class", "move"]),
    st.integers(0, 10**6),
    st.integers(1, 12),
)


class Folder:
    """A folder that people work on: path to class and content; broken files are there, and cannot be read."""

    def __init__(self, root: Path, counts: list[int]) -> None:
        self.root, self.serial, self.classes = root, 0, len(counts)
        self.files: dict[Path, tuple[int, str]] = {}
        self.broken: dict[Path, tuple[int, str]] = {}
        for label, count in enumerate(counts):
            for _ in range(count):
                self.add(label, content(self.serial))

    def add(self, label: int, what: str) -> None:
        self.serial += 1
        self.files[self.root / "photos" / f"c{label}" / f"{self.serial * 7919 % 10007}.png"] = label, what

    def step(self, kind: str, choice: int, times: int) -> None:
        for k in range(times):
            source = self.broken if kind == "mend" else self.files
            if kind == "add":
                self.add((choice + k) % self.classes, content(self.serial))
            elif source:
                file = sorted(source)[(choice + 31 * k) % len(source)]
                label, what = source[file]
                if kind == "copy":
                    self.add(label, what)
                elif kind == "copy to another class":
                    self.add((label + 1) % self.classes, what)
                else:
                    del source[file]
                    if kind == "rename":
                        self.add(label, what)
                    elif kind == "move":
                        self.add((label + 1) % self.classes, what)
                    elif kind == "break":
                        self.broken[file] = label, what
                    elif kind == "mend":
                        self.files[file] = label, what


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    steps=st.lists(STEP, max_size=12),
    seed=st.integers(0, 3),
    sizes=st.sampled_from([(0.1, 0.1), (0.2, 0.0), (0.0, 0.3), (3, 0.25), (4, 4), (0.45, 0.4)]),
)
def test_no_image_ever_changes_its_part(
    counts: list[int], steps: list[tuple[str, int, int]], seed: int, sizes: tuple[float, float], tmp_path_factory: Any
) -> None:
    folder = Folder(tmp_path_factory.mktemp("moves"), counts)
    options = {"val_size": sizes[0], "test_size": sizes[1], "seed": seed}
    decided: dict[str, str] = {}
    for step in [None, *steps]:
        if step:
            folder.step(*step)
        try:
            result = assign(folder.files, folder.root, **options)
        except UserError:  # a number that what is left cannot give
            assert any(isinstance(size, int) for size in sizes)
            continue
        parts = sides(result)
        assert len(set().union(*parts.values())) == sum(map(len, parts.values())), "a content is in two parts"
        assert sum(map(len, result.parts.values())) == len(folder.files), "an image is in no part"
        now = {what: part for part, contents in parts.items() for what in contents}
        assert {what: decided[what] for what in now if what in decided} == {
            what: part for what, part in now.items() if what in decided
        }
        check_bounds(folder, now, decided, sizes)
        decided |= now


def check_bounds(folder: Folder, now: dict[str, str], before: dict[str, str], sizes: tuple[float, float]) -> None:
    """A class is outside its bounds only as far as images that came earlier hold it there."""
    labels: dict[str, int] = {}
    for label, what in folder.files.values():
        labels[what] = min(label, labels.get(what, label))
    for label, n in Counter(labels.values()).items():
        of_class = [what for what in labels if labels[what] == label]
        new = Counter(now[what] for what in of_class if what not in before)
        have = Counter(now[what] for what in of_class)
        for part, size in zip(("val", "test"), sizes, strict=True):
            if isinstance(size, int):
                continue
            asked = size * n
            spread = max(1, math.sqrt(asked))
            if new[part]:
                assert have[part] <= max(asked + spread, 1), "drawn above the bound"
            if n >= 3 and size and not have[part]:
                assert not new["train"] or have["train"] == 1, "a class lacks a part that new images could fill"
            if not size:
                assert not have[part]


def test_a_record_that_is_damaged_stops_the_run(tmp_path: Path) -> None:
    assign(photos(tmp_path, a=9, b=9), tmp_path)
    next((tmp_path / "splits").glob("*.json")).write_text("{")
    with pytest.raises(UserError, match="record of a folder's split is damaged"):
        assign(photos(tmp_path, a=9, b=9), tmp_path)


def test_a_class_that_lost_its_images_is_named_and_the_next_one_fills_the_gap(tmp_path: Path) -> None:
    files = photos(tmp_path, a=30, b=30)
    first = assign(files, tmp_path)
    gone = {image.file for image in first.parts["val"] if image.label == 1}
    left = {file: value for file, value in files.items() if file not in gone}
    result = assign(left, tmp_path)
    assert any("no val images of c1 any more" in notice for notice in result.notices)
    left[tmp_path / "photos/b/new.png"] = 1, content("new")
    assert content("new") in sides(assign(left, tmp_path))["val"]
