"""Decoded images that are kept on disk: never stale, never in the way, and no work in a second run."""

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnkit.data import ImageFolder, file_checks, image_files
from cnnkit.data import file_module as folder_module
from cnnkit.data.folders import decoded_images
from cnnkit.data.folders.decoded_images import DecodedImageStore
from cnnkit.data.images.decode import read_image


def check_pixels(data: ImageFolder) -> None:
    """Every image is what its file holds now, and its label that of its folder."""
    data.train_dataloader()
    store = data.store
    assert store is not None
    for images, labels in ((store.train_images, store.train_labels), (store.test_images, store.test_labels)):
        everything = images.index_select(0, torch.arange(len(labels)))
        for pixels, label, file in zip(everything, labels.tolist(), images.files, strict=True):  # type: ignore[attr-defined]
            assert torch.equal(pixels, read_image(file, data.in_channels, data.size, data.resize))
            assert file.is_relative_to(data.root / data.class_names[label])


def find_store(tmp_path: Path) -> Path:
    (about,) = tmp_path.glob("data/.cnnkit/pixels/*/about.json")
    return about.parent


def forbid(*args: Any, **options: Any) -> Any:
    raise AssertionError("this was not to be called")


# ---- what a later run does -------------------------------------------------------------------------------------------


def test_a_second_run_decodes_nothing_and_starts_no_worker(
    folder: Callable[..., ImageFolder],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    first = [batch.images for batch in folder(num_workers=2).train_dataloader()]
    where = f"{find_store(tmp_path)} (0.012 MB)"
    assert capfd.readouterr().err == (
        f"cnnkit: {tmp_path}/photos: 60 images decoded, 60 kept in {where}; you can delete it at any time\n"
    )
    for module in (folder_module, image_files, file_checks):
        monkeypatch.setattr(module, "read_image", forbid)
    monkeypatch.setattr("cnnkit.data.workers.DataLoader", forbid)
    second = [batch.images for batch in folder(num_workers=2).train_dataloader()]
    assert all(map(torch.equal, first, second))
    assert capfd.readouterr().err == f"cnnkit: {tmp_path}/photos: 60 decoded images from {where}\n"


def test_a_file_is_decoded_once_and_only_if_its_content_is_new(
    folder: Callable[..., ImageFolder], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in photos.rglob("*.*"):
        os.utime(file, (1, 1))
    monkeypatch.setattr(file_checks, "_SETTLED", -(10**12))  # no waiting until the files are old
    decoded: list[str] = []

    def read(file: Path, *args: Any, **options: Any) -> torch.Tensor:
        decoded.append(Path(file).name)
        return read_image(file, *args, **options)

    for module in (folder_module, image_files, file_checks):
        monkeypatch.setattr(module, "read_image", read)
    list(folder().train_dataloader())
    assert len(decoded) == 60
    decoded.clear()
    Image.new("RGB", (9, 9), (3, 200, 5)).save(photos / "green" / "new.png")
    (photos / "red" / "000.png").rename(photos / "red" / "renamed.png")
    (photos / "blue" / "001.jpg").unlink()
    check_pixels(folder())
    assert decoded == ["new.png"]


def test_only_training_writes(folder: Callable[..., ImageFolder], tmp_path: Path) -> None:
    data = folder()
    data.describe()
    list(data.test_dataloader())
    list(data.val_dataloader())  # type: ignore[arg-type]
    assert not (tmp_path / "data/.cnnkit/pixels").exists()
    data.train_dataloader()
    assert find_store(tmp_path)


@pytest.mark.parametrize("how", [{"image_size": 9}, {"resize": "pad"}, {"resize": "squash"}, {"channels": 1}])
def test_other_pixels_have_another_store(how: dict[str, Any], folder: Callable[..., ImageFolder]) -> None:
    check_pixels(folder())
    check_pixels(folder(**how))


def test_another_decoder_has_another_store(
    folder: Callable[..., ImageFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("12.0", "13.0"):
        monkeypatch.setattr("PIL.__version__", version)
        folder().train_dataloader()
    assert len(list(tmp_path.glob("data/.cnnkit/pixels/*/about.json"))) == 2


# ---- never stale -----------------------------------------------------------------------------------------------------


def paint(file: Path, color: int) -> None:
    """A bitmap whose size in bytes does not depend on its color."""
    pixels = np.random.default_rng(color).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "BMP")


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


# ---- damage, room, other processes -----------------------------------------------------------------------------------


def truncate(store: Path) -> None:
    os.truncate(store / "pixels.bin", 1000)


def flip(store: Path, keep_time: bool = False) -> None:
    file = store / "pixels.bin"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    if keep_time:
        os.utime(file, ns=times)


def garble(store: Path) -> None:
    (store / "about.json").write_text('{"contents": [')


@pytest.mark.parametrize("damage", [truncate, flip, partial(flip, keep_time=True), garble])
def test_damage_is_found_and_mended(
    damage: Callable[[Path], None],
    folder: Callable[..., ImageFolder],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    folder().train_dataloader()
    damage(find_store(tmp_path))
    capfd.readouterr()
    check_pixels(folder())
    said = capfd.readouterr().err.splitlines()
    assert [("are damaged" in line, "60 images decoded" in line) for line in said] == [(True, False), (False, True)]
    check_pixels(folder())
    assert "60 decoded images from" in capfd.readouterr().err


def test_a_full_disk_costs_a_line_and_no_run(
    folder: Callable[..., ImageFolder],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(decoded_images, "_append", fail)
    check_pixels(folder())
    said = capfd.readouterr().err
    assert said.endswith("decoded images are not kept (No space left on device); the run goes on without\n")
    assert said.count("\n") == 1
    assert [path.suffix for path in (tmp_path / "data/.cnnkit/pixels").iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_written_costs_a_line_and_no_run(
    folder: Callable[..., ImageFolder], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data/.cnnkit").mkdir(parents=True)
    (tmp_path / "data/.cnnkit/pixels").write_text("in the way")
    check_pixels(folder())
    assert "decoded images are not kept" in capfd.readouterr().err


def test_the_store_used_longest_ago_makes_room(
    folder: Callable[..., ImageFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stores = tmp_path / "data/.cnnkit/pixels"
    one = 60 * 3 * 8 * 8
    monkeypatch.setattr(decoded_images.shutil, "disk_usage", lambda _: SimpleNamespace(free=10 * one))
    made: list[Path] = []
    for age, resize in enumerate(("crop", "pad")):
        folder(resize=resize).train_dataloader()
        made += [about.parent for about in stores.glob("*/about.json") if about.parent not in made]
        os.utime(made[-1], (age, age))
    folder(resize="crop").train_dataloader()  # used again
    monkeypatch.setattr(decoded_images.shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * one))
    check_pixels(folder(resize="squash"))
    assert [path.exists() for path in made] == [True, False]


def test_two_runs_at_once_share_the_work(tmp_path: Path) -> None:
    contents = {}
    for number in range(20):
        paint(tmp_path / f"{number}.bmp", number)
        contents[file_checks.hash_file(tmp_path / f"{number}.bmp")] = tmp_path / f"{number}.bmp"
    decoded: list[Path] = []

    def decode(path: Path) -> torch.Tensor:
        decoded.append(path)
        return read_image(path, 3, (8, 8))

    def run(_: int) -> torch.Tensor:
        found = DecodedImageStore(tmp_path / "pixels", tmp_path, (3, 8, 8), decode, "").open_or_write(contents)
        assert found is not None
        return found.pixels[[found.rows[content] for content in contents]]

    with ThreadPoolExecutor(4) as pool:
        pixels = list(pool.map(run, range(4)))
    assert len(decoded) == 20
    for each in pixels:
        assert torch.equal(each, torch.stack([read_image(file, 3, (8, 8)) for file in contents.values()]))


def test_the_second_of_two_runs_says_that_it_waits_and_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "0.bmp", 0)
    contents = {file_checks.hash_file(tmp_path / "0.bmp"): tmp_path / "0.bmp"}
    waits, lines = Event(), []

    def decode(path: Path) -> torch.Tensor:
        assert waits.wait(60)
        return read_image(path, 3, (8, 8))

    def run(_: int) -> None:
        DecodedImageStore(tmp_path / "pixels", tmp_path, (3, 8, 8), decode, "").open_or_write(contents)

    def note(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            waits.set()

    for module in ("cnnkit.runs.lock", "cnnkit.data.folders.decoded_images"):
        monkeypatch.setattr(f"{module}.say", note)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    waiting, made, taken = lines
    assert waiting == f"{tmp_path}: another process decodes these images; waiting for it"
    assert made.startswith(f"{tmp_path}: 1 image decoded, 1 kept in ")
    assert taken.startswith(f"{tmp_path}: 1 decoded images from ")


def test_what_is_gone_stays_only_while_it_is_the_minority(tmp_path: Path) -> None:
    files = {}
    for number in range(9):
        paint(tmp_path / f"{number}.bmp", number)
        files[file_checks.hash_file(tmp_path / f"{number}.bmp")] = tmp_path / f"{number}.bmp"
    store = DecodedImageStore(tmp_path / "pixels", tmp_path, (3, 8, 8), lambda path: read_image(path, 3, (8, 8)), "")
    names = list(files)
    for used, kept in ((names[:4], 4), (names[2:6], 6), (names[6:8], 2), (names[6:7], 2)):
        store.open_or_write({name: files[name] for name in used})
        assert len(json.loads((store.folder / "about.json").read_text())["contents"]) == kept
