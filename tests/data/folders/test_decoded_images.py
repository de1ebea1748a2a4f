"""Decoded images that are kept on disk: no work in a second run, and damage is mended."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from decoded_pixels import check_pixels
from PIL import Image

from cnnkit.data import ImageFolder, file_checks, image_files
from cnnkit.data import file_module as folder_module
from cnnkit.data.images.decode import read_image


def find_store(tmp_path: Path) -> Path:
    (about,) = tmp_path.glob("data/.cnnkit/pixels/*/about.json")
    return about.parent


def forbid(*args: Any, **options: Any) -> Any:
    raise AssertionError("this was not to be called")


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
