"""Stores whose bytes are not what was written: noticed, said, and made again from the originals."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_originals import MadeSet, entries

from cnnkit.data import store
from cnnkit.data.store import open_store
from cnnkit.errors import UserError

Made = Callable[[str], MadeSet]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _other_table(path: Path) -> None:
    record = json.loads(path.read_text())
    record["files"]["train-images-idx3-ubyte"]["sha256"] = "0" * 64
    path.write_text(json.dumps(record))


def _flip(path: Path) -> None:
    """One bit of the last byte; header, length and shape stay."""
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "cut": ("train_images.npy", _cut),
    "empty": ("test_labels.npy", lambda path: path.write_bytes(b"")),
    "gone": ("test_images.npy", Path.unlink),
    "no header": ("train_labels.npy", lambda path: path.write_bytes(b"x" * path.stat().st_size)),
    "object array": ("train_labels.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True)),
    "other shape": ("train_images.npy", lambda path: np.save(path, np.zeros((20, 1, 28, 27), np.uint8))),
    "a label": ("train_labels.npy", _flip),
    "a test label": ("test_labels.npy", _flip),
    "a pixel": ("test_images.npy", _flip),
    "no record": ("provenance.json", Path.unlink),
    "half a record": ("provenance.json", lambda path: path.write_text(path.read_text()[:50])),
    "other record": ("provenance.json", lambda path: path.write_text("[]")),
    "of other files": ("provenance.json", _other_table),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_store_is_made_again_or_reported(
    made: Made, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made_set = made("mnist")
    made_set.lay(tmp_path, "mnist raw")
    open_store("mnist", tmp_path)
    victim, harm = DAMAGES[damage]
    harm(tmp_path / ".cnnkit/mnist" / victim)
    mended = open_store("mnist", tmp_path)
    np.testing.assert_array_equal(mended.train_images.numpy(), made_set.arrays["train_images"])
    assert entries(tmp_path) == {"mnist", "mnist.lock"}
    said = capfd.readouterr().err
    assert ("mnist: the store is damaged" in said) == (damage != "of other files"), said  # that is another version
    harm(tmp_path / ".cnnkit/mnist" / victim)
    shutil.rmtree(tmp_path / "MNIST")
    with pytest.raises(UserError, match="Could not download"):
        open_store("mnist", tmp_path)


def test_labels_are_checked_at_every_opening_and_images_once_for_each_time_of_their_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    open_store("mnist", tmp_path)
    hashed: list[tuple[int, ...]] = []
    real = store._hash
    monkeypatch.setattr(store, "_hash", lambda array: hashed.append(array.shape) or real(array))
    open_store("mnist", tmp_path)
    assert [len(shape) for shape in hashed] == [1, 1]
    os.utime(tmp_path / ".cnnkit/mnist/test_images.npy", ns=(1, 1))
    open_store("mnist", tmp_path)
    assert [len(shape) for shape in hashed[2:]] == [1, 4, 1]
    labels = tmp_path / ".cnnkit/mnist/train_labels.npy"
    before = labels.stat()
    _flip(labels)
    os.utime(labels, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a bad disk leaves them
    shutil.rmtree(tmp_path / "MNIST")
    with pytest.raises(UserError, match="Could not download"):
        open_store("mnist", tmp_path)


def test_a_store_of_an_older_version_is_checked_as_a_whole_and_gets_its_hashes(made: Made, tmp_path: Path) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    whole = open_store("mnist", tmp_path)
    shutil.rmtree(tmp_path / "MNIST")
    record = tmp_path / ".cnnkit/mnist/provenance.json"
    old = json.loads(record.read_text())
    hashes = old.pop("sha256")
    record.write_text(json.dumps(old))
    (record.parent / "verified.json").unlink()
    assert open_store("mnist", tmp_path).fingerprint == whole.fingerprint
    assert json.loads(record.read_text())["sha256"] == hashes
    record.write_text(json.dumps(old))
    _flip(record.parent / "test_labels.npy")
    with pytest.raises(UserError, match="Could not download"):
        open_store("mnist", tmp_path)
