"""The user's own images: layouts, splits, the loader's promise, and files that are broken."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_folders import files_of
from PIL import Image
from small_runs import Cli

from cnnkit.data import ImageFolder
from cnnkit.data.image_files import FileBatches, ImageFiles
from cnnkit.errors import UserError
from cnnkit.runs import find


def epoch(batches: Any, number: int = 0) -> list[tuple[Any, ...]]:
    batches.set_epoch(number)
    return [(b.images.tolist(), b.labels.tolist(), b.indices.tolist(), b.epoch, b.number) for b in batches]


def test_what_a_net_must_know_is_known_before_any_image_is_read(folder: Callable[..., ImageFolder]) -> None:
    data = folder(image_size=(8, 10))
    assert data.shape == {"in_channels": 3, "num_classes": 3, "image_size": (8, 10)}
    assert data.class_names == ("blue", "green", "red")
    assert (len(data.mean), len(data.std), data.store) == (3, 3, None)
    with pytest.raises(UserError, match="one a channel"):
        folder(mean=[0.4])
    gray = folder(channels=1, mean=[0.4])
    assert (gray.in_channels, gray.mean, len(gray.std)) == (1, (0.4,), 1)


def test_images_and_labels_belong_together(folder: Callable[..., ImageFolder]) -> None:
    for batch in folder(augment=[]).train_dataloader():
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (8, 3, 8, 8))
        strongest = batch.images.float().mean((2, 3)).argmax(1)  # of red, green, blue
        assert torch.equal(2 - strongest, batch.labels)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("cache", ["disk", "memory", "none"])
def test_workers_and_memory_change_nothing(workers: int, cache: str, folder: Callable[..., ImageFolder]) -> None:
    plain = folder(cache="none").train_dataloader()
    other = folder(cache=cache, num_workers=workers).train_dataloader()
    for number in range(3):
        assert epoch(other, number) == epoch(plain, number)


def test_what_was_decoded_once_is_not_decoded_again(
    folder: Callable[..., ImageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    real = ImageFiles._read
    monkeypatch.setattr(ImageFiles, "_read", lambda self, file: read.append(file) or real(self, file))
    for cache, times in {"memory": 1, "auto": 0, "disk": 0, "none": 3}.items():
        read.clear()
        batches = folder(cache=cache, drop_last=False).train_dataloader()
        for number in range(3):
            epoch(batches, number)
        assert len(read) == len(batches.indices) * times


def test_what_workers_decode_stays_when_they_are_gone(folder: Callable[..., ImageFolder]) -> None:
    batches = folder(cache="memory", num_workers=1, drop_last=False).train_dataloader()
    assert isinstance(batches, FileBatches)
    first = epoch(batches, 0)
    assert batches.images.count_missing(batches.indices) == 0
    for file in batches.images.files:
        file.unlink()
    assert epoch(batches, 0) == first


def test_a_set_too_large_for_memory_is_not_kept(
    folder: Callable[..., ImageFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    need = 60 * 3 * 8 * 8
    monkeypatch.setattr("cnnkit.data.folders.decoded_images.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    for free, keeps in {2 * need: True, 2 * need - 2: False}.items():
        monkeypatch.setattr("cnnkit.data.file_module.measure_free_memory", lambda free=free: free)
        assert folder().train_dataloader().images.keeps is keeps  # type: ignore[attr-defined]
        assert folder(cache="memory").train_dataloader().images.keeps  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 1])
def test_two_integers_bring_the_loader_back(workers: int, folder: Callable[..., ImageFolder]) -> None:
    first = folder(num_workers=workers).train_dataloader()
    first.set_epoch(2)
    iterator: Iterator[Any] = iter(first)
    seen = [next(iterator).images.tolist() for _ in range(3)]
    again = folder(num_workers=workers).train_dataloader()
    again.load_state_dict(first.state_dict())
    again.set_epoch(2)
    assert seen + [batch.images.tolist() for batch in again] == [b[0] for b in epoch(folder().train_dataloader(), 2)]


def break_two(photos: Path) -> None:
    content = (photos / "red" / "001.jpg").read_bytes()
    (photos / "red" / "001.jpg").write_bytes(content[: len(content) // 2])  # its header is good
    (photos / "green" / "000.png").write_text("no image")


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_images_stop_the_run_before_it_starts(
    workers: int, folder: Callable[..., ImageFolder], photos: Path
) -> None:
    break_two(photos)
    with pytest.raises(UserError, match=r"green/000\.png: not an image.*1 more of 60.*on_bad_image"):
        folder(num_workers=workers).prepare_data()


def test_broken_images_are_left_out_and_counted(
    folder: Callable[..., ImageFolder], photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = folder().describe()
    break_two(photos)
    data = folder(on_bad_image="skip", drop_last=False, val_size=0, test_size=0, cache="memory")
    dealt = [index for _, _, indices, *_ in epoch(data.train_dataloader()) for index in indices]
    assert len(dealt) == 58
    said = capfd.readouterr().err
    assert "2 of 60 images left out" in said
    assert said.count("\n") == 1
    facts = data.describe()
    assert (facts["train_images"], facts["skipped_images"]) == (58, 2)
    assert facts["fingerprint"] != whole["fingerprint"]


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_break_during_a_run(
    workers: int, folder: Callable[..., ImageFolder], photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    strict, skipping = (
        folder(on_bad_image=how, num_workers=workers, val_size=0, test_size=0, cache="memory")
        for how in ("error", "skip")
    )
    batches = [data.train_dataloader() for data in (strict, skipping)]
    for file in photos.glob("red/*"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"^\S*red/\d+\.\w+: an empty file$"):  # not a worker's traceback
        epoch(batches[0])
    assert len(epoch(batches[1])) == 60 // 8  # no fewer
    assert "a black image takes its place" in capfd.readouterr().err


def test_files_are_decoded_to_check_them_once(
    folder: Callable[..., ImageFolder], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnkit.data import file_checks

    def describe(**options: int) -> dict[str, Any]:
        return folder(cache="none", **options).describe()

    looked: list[str] = []
    real = file_checks.read_image
    monkeypatch.setattr(file_checks, "read_image", lambda file, *how: looked.append(file.name) or real(file, *how))
    before = {file: file.stat().st_mtime_ns for file in photos.rglob("*")}
    first = describe()
    assert len(looked) == 60
    assert describe() == first
    assert len(looked) == 60
    assert {file: file.stat().st_mtime_ns for file in photos.rglob("*")} == before  # nothing is written beside them
    Image.new("RGB", (9, 9)).save(photos / "red" / "000.png")
    changed = describe()
    assert looked[60:] == ["000.png"]
    assert changed["fingerprint"] != first["fingerprint"]
    record = next((tmp_path / "data/.cnnkit/folders").glob("*.json"))
    record.write_text("{")
    assert describe() == changed
    assert len(looked) == 61 + 60
    with pytest.raises(UserError, match="max_pixels"):  # what a limit forbids is not remembered as fit
        describe(max_pixels=100)


def test_the_fingerprint_names_the_pixels(folder: Callable[..., ImageFolder]) -> None:
    found = [
        folder(**how).describe()["fingerprint"] for how in ({}, {"resize": "pad"}, {"image_size": 9}, {"channels": 1})
    ]
    assert len(set(found)) == 4
    assert folder(split_seed=4, batch_size=4).describe()["fingerprint"] == found[0]


def test_there_may_be_no_test_images(folder: Callable[..., ImageFolder]) -> None:
    data = folder(test_size=0, val_size=0)
    assert data.val_dataloader() == []
    assert len(files_of(data)["train"]) == 60
    with pytest.raises(UserError, match="no test images"):
        data.test_dataloader()


def test_a_run_on_a_folder_learns_and_is_tested(cli: Cli, photos: Path) -> None:
    words = "--data ImageFolder --data.root photos --data.test_size 15 --data.image_size 16 --data.batch_size 8"
    trainer = "--trainer.max_epochs 3 --trainer.accelerator cpu --trainer.enable_progress_bar false --seed_everything 0"
    ended = cli("fit", *words.split(), *trainer.split(), "--model.net.channels=[8,16]")
    assert ended.code == 0, ended.err
    run = find("runs")
    data = run.manifest()["data"]
    assert sum(data[f"{part}_images"] for part in ("train", "val", "test")) == 60
    assert data["skipped_images"] == 0
    tested = cli("test", "--run", "runs")
    assert tested.code == 0, tested.err
    accuracy = re.search(r"test/acc\s+([\d.]+)%", tested.out)
    assert accuracy is not None
    assert float(accuracy[1]) > 70  # chance: a half, always saying green
    assert cli("fit", "--data", "ImageFolder", "--data.root", "nowhere").code == 2
