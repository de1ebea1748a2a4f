import lzma
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from draw_sample import draw, draw_indices, write

from cnnkit.data import store
from cnnkit.data.originals.loading import load_originals
from cnnkit.data.originals.sources import SAMPLE
from cnnkit.data.store import SAMPLE_FOLDER, open_sample
from cnnkit.errors import UserError

REAL = os.environ.get("CNNKIT_DATA_DIR")
needs_real = pytest.mark.skipif(
    REAL is None, reason="set CNNKIT_DATA_DIR to a folder with the originals of Fashion-MNIST"
)


def test_sample_is_stratified_and_of_the_usual_types() -> None:
    sample = open_sample()
    assert sample.train_images.shape == (10_000, 1, 28, 28)
    assert sample.test_images.shape == (2_000, 1, 28, 28)
    assert sample.train_images.dtype == torch.uint8
    assert sample.train_labels.dtype == torch.int64
    assert sample.train_labels.bincount().tolist() == [1_000] * 10
    assert sample.test_labels.bincount().tolist() == [200] * 10
    assert sample.class_names[9] == "Ankle boot"
    assert sample.fingerprint == "4d8215b225c53dd5"


def test_sample_looks_like_the_whole() -> None:
    pixels = open_sample().train_images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, abs=0.005)
    assert pixels.std().item() == pytest.approx(0.3530, abs=0.005)


def test_sample_files_are_small_and_their_license_lies_beside_them() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.glob("*.xz")) < 6e6
    assert "Zalando SE" in (SAMPLE_FOLDER / "LICENSE").read_text()


def test_damaged_sample_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in SAMPLE.files:
        (tmp_path / f"{file}.xz").write_bytes((SAMPLE_FOLDER / f"{file}.xz").read_bytes()[:-20])
    monkeypatch.setattr(store, "SAMPLE_FOLDER", tmp_path)
    with pytest.raises(UserError, match="Install cnnkit again"):
        open_sample.__wrapped__()


def test_draw_depends_on_labels_and_split_alone() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 300)
    indices = draw_indices(labels, "test")
    assert np.bincount(labels[indices]).tolist() == [200] * 10
    assert (np.diff(indices) > 0).all()
    np.testing.assert_array_equal(indices[:5], draw_indices(labels, "test")[:5])


@needs_real
def test_drawing_again_gives_the_same_bytes() -> None:
    drawn = draw(Path(REAL or ""))
    assert drawn == {file: lzma.decompress((SAMPLE_FOLDER / f"{file}.xz").read_bytes()) for file in SAMPLE.files}


def test_the_files_are_written_as_they_are_read(tmp_path: Path) -> None:
    small = {"t10k-labels-idx1-ubyte": lzma.decompress((SAMPLE_FOLDER / "t10k-labels-idx1-ubyte.xz").read_bytes())}
    digests = write(small, tmp_path)
    assert digests.items() <= SAMPLE.sha256.items()
    assert (tmp_path / "t10k-labels-idx1-ubyte.xz").read_bytes() == (
        SAMPLE_FOLDER / "t10k-labels-idx1-ubyte.xz"
    ).read_bytes()


@needs_real
def test_sample_test_images_are_official_test_images(tmp_path: Path) -> None:
    official = load_originals("fashion_mnist", tmp_path, mirror=REAL)
    indices = draw_indices(official.arrays["test_labels"], "test")
    np.testing.assert_array_equal(open_sample().test_images.numpy(), official.arrays["test_images"][indices])
    np.testing.assert_array_equal(open_sample().test_labels.numpy(), official.arrays["test_labels"][indices])
