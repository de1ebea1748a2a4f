"""Files that change: the decoded images on disk are never stale."""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from decoded_pixels import check_pixels, paint
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnkit.data import ImageFolder, file_checks
from cnnkit.data.folders.decoded_images import DecodedImageStore
from cnnkit.data.images.decode import read_image

CHANGES = st.tuples(
    st.sampled_from(["rewrite", "replace", "swap", "rename", "move", "copy", "add", "remove", "run"]),
    st.integers(0, 99),
    st.integers(0, 99),
    st.booleans(),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=5))
def test_no_change_of_the_files_leaves_old_pixels(changes: list[tuple[str, int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as top:
        root = Path(top, "photos")
        for number in range(8):
            file = root / "ab"[number % 2] / f"{number}.bmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            paint(file, number)
        make = partial(ImageFolder, str(root), 8, data_dir=top, num_workers=0, val_size=0, test_size=0, batch_size=2)
        make().train_dataloader()
        for step, (change, which, other, runs) in enumerate(changes):
            apply_change(root, change, which, other, step)
            if runs or step == len(changes) - 1:
                check_pixels(make())


def apply_change(root: Path, change: str, which: int, other: int, step: int) -> None:
    """Change a file and set its time back, as a careless program or a fast one would."""
    files = sorted(root.rglob("*.bmp"))
    file, second = files[which % len(files)], files[other % len(files)]
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    beside = root / "rest.tmp"
    if change == "rewrite":
        paint(file, 1000 + other)
        os.utime(file, ns=times)
    elif change == "replace":
        paint(beside, 1000 + other)
        os.utime(beside, ns=times)
        beside.replace(file)
    elif change == "swap" and file != second:
        for old, new in ((file, beside), (second, file), (beside, second)):
            old.rename(new)
    elif change == "rename":
        file.rename(file.with_name(f"renamed{step}.bmp"))
    elif change in ("move", "copy"):
        target = root / "ba"["ab".index(file.parent.name)] / f"{change}{step}.bmp"
        target.write_bytes(file.read_bytes())
        os.utime(target, ns=times)
        if change == "move" and len(list(file.parent.iterdir())) > 2:
            file.unlink()
    elif change == "add":
        paint(file.with_name(f"new{step}.bmp"), 2000 + other)
    elif change == "remove" and len(list(file.parent.iterdir())) > 2:
        file.unlink()


def test_two_changes_within_one_tick_of_the_clock_are_told_apart(
    folder: Callable[..., ImageFolder], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    monkeypatch.setattr(file_checks, "_read_size_and_times", lambda file: (file.stat().st_size, now, now))
    for color in (1, 2):
        paint(photos / "red" / "a.bmp", color)
        check_pixels(folder())


def test_a_file_that_changes_while_it_is_decoded_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.bmp"
    paint(file, 1)

    def decode(path: Path) -> torch.Tensor:
        pixels = read_image(path, 3, (8, 8))
        paint(path, 2)
        return pixels

    store = DecodedImageStore(tmp_path / "pixels", tmp_path, (3, 8, 8), decode, "")
    paint(tmp_path / "b.bmp", 3)
    contents = {file_checks.hash_file(path): path for path in (file, tmp_path / "b.bmp")}
    found = store.open_or_write(contents)
    assert found is None or not contents.keys() & found.rows.keys()
