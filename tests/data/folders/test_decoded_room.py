"""Decoded images on disk: room for them, and other processes that use them."""

import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from decoded_pixels import check_pixels, paint

from cnnkit.data import ImageFolder, file_checks
from cnnkit.data.folders import decoded_images
from cnnkit.data.folders.decoded_images import DecodedImageStore
from cnnkit.data.images.decode import read_image


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
