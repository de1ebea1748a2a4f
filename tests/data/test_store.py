import json
import multiprocessing
import os
import shutil
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from made_originals import LAYOUTS, MadeSet, entries

from cnnkit.data import store
from cnnkit.data.originals.loading import ARRAYS
from cnnkit.data.store import find_data_dir, open_store
from cnnkit.errors import UserError

Made = Callable[[str], MadeSet]
REAL = os.environ.get("CNNKIT_DATA_DIR")


def test_store_holds_the_originals_and_outlives_them(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_set = made("mnist")
    folder = made_set.lay(tmp_path / "originals", "mnist gz")
    first = open_store("mnist", tmp_path / "data", mirror=folder)
    assert capsys.readouterr().err == ""
    shutil.rmtree(folder)
    again = open_store("mnist", tmp_path / "data", mirror=folder)
    note = f"cnnkit: data.mirror {folder} is not needed: the data are in {tmp_path}/data/.cnnkit/mnist already\n"
    assert capsys.readouterr().err == note
    for key in ARRAYS:
        np.testing.assert_array_equal(getattr(again, key).numpy(), made_set.arrays[key])
    assert again.train_images.dtype == torch.uint8
    assert again.train_labels.dtype == torch.int64
    assert again.train_images.is_contiguous()
    assert again.class_names == tuple("0123456789")
    assert again.fingerprint == first.fingerprint
    assert len(again.fingerprint) == 16


def test_fingerprint_depends_on_content_and_not_on_layout(made: Made, tmp_path: Path) -> None:
    made_set = made("cifar10")
    layouts = [layout for layout in LAYOUTS if layout.startswith("cifar")]
    prints = {open_store("cifar10", made_set.lay(tmp_path / layout, layout)).fingerprint for layout in layouts}
    made("mnist").lay(tmp_path, "mnist raw")
    made("fashion_mnist").lay(tmp_path, "fashion raw")
    others = {open_store(name, tmp_path).fingerprint for name in ("mnist", "fashion_mnist")}
    assert len(prints) == 1
    assert len(prints | others) == 3


def test_writing_to_the_tensors_neither_warns_nor_reaches_the_disk(made: Made, tmp_path: Path) -> None:
    made_set = made("mnist")
    made_set.lay(tmp_path, "mnist raw")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_store("mnist", tmp_path)
    opened.train_images.zero_()
    np.testing.assert_array_equal(open_store("mnist", tmp_path).train_images.numpy(), made_set.arrays["train_images"])


def test_reopening_reads_the_store_alone(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    open_store("mnist", tmp_path)
    monkeypatch.setattr(store, "load_originals", None)
    monkeypatch.setattr(store, "lock", None)
    open_store("mnist", tmp_path)


def test_provenance_names_files_hashes_and_terms(made: Made, tmp_path: Path) -> None:
    made("mnist").lay(tmp_path, "mnist gz")
    provenance = open_store("mnist", tmp_path).provenance
    entry = provenance["files"]["train-images-idx3-ubyte"]
    assert entry["path"] == str(tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz")
    assert len(entry["sha256"]) == 64
    assert "CC BY-SA" in provenance["licence"]
    assert json.loads((tmp_path / ".cnnkit/mnist/provenance.json").read_text()) == provenance


@pytest.mark.parametrize("call", range(6))
def test_write_that_breaks_off_leaves_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    synced: list[int] = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > call:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        if call < 5:  # the sixth is the folder's, which not every file system has
            with pytest.raises(UserError, match="No space left on device"):
                open_store("mnist", tmp_path)
            assert entries(tmp_path) == {"mnist.lock"}
    open_store("mnist", tmp_path)
    assert entries(tmp_path) == {"mnist", "mnist.lock"}


def test_what_a_killed_process_left_is_swept(made: Made, tmp_path: Path) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    (tmp_path / ".cnnkit/.mnist-dead").mkdir(parents=True)
    (tmp_path / ".cnnkit/.mnist-dead/train_images.npy").touch()
    open_store("mnist", tmp_path)
    assert entries(tmp_path) == {"mnist", "mnist.lock"}


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_opened_at_once_it_is_made_once(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    made("mnist").lay(tmp_path, "mnist raw")
    context = multiprocessing.get_context("fork")
    barrier = threading.Barrier(3) if kind == "threads" else context.Barrier(3)
    open_inner, write, seen, log = store._open, store._write, threading.local(), tmp_path / "written"

    def open_together(*args: object) -> object:
        found = open_inner(*args)
        if not hasattr(seen, "nothing"):  # nobody goes on before all have seen that there is no store
            seen.nothing = found is None
            barrier.wait(timeout=30)
        return found

    def write_logged(*args: object) -> None:
        with log.open("a") as file:
            file.write("x")
        write(*args)

    def work() -> None:
        open_store("mnist", tmp_path)

    monkeypatch.setattr(store, "_open", open_together)
    monkeypatch.setattr(store, "_write", write_logged)
    if kind == "threads":
        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(work) for _ in range(3)]:
                future.result()
    else:
        processes = [context.Process(target=work) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
    assert log.read_text() == "x"


def test_data_dir_that_cannot_be_written_is_named(made: Made, tmp_path: Path) -> None:
    folder = made("mnist").lay(tmp_path / "originals", "mnist raw")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Cannot write to .*file.*data_dir.*mirror"):
        open_store("mnist", tmp_path / "file", mirror=folder)


def test_default_data_dir_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNKIT_DATA_DIR", "/somewhere")
    assert find_data_dir() == Path("/somewhere")
    monkeypatch.delenv("CNNKIT_DATA_DIR")
    assert find_data_dir() == Path("data")


# Means and standard deviations of the training pixels as commonly published.
PUBLISHED = {
    "mnist": ((60_000, 1, 28, 28), [0.1307], [0.3081], 5421),
    "fashion_mnist": ((60_000, 1, 28, 28), [0.2860], [0.3530], 6000),
    "cifar10": ((50_000, 3, 32, 32), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], 5000),
}


@pytest.mark.skipif(REAL is None, reason="set CNNKIT_DATA_DIR to a folder with the originals of all three data sets")
@pytest.mark.parametrize("name", PUBLISHED)
def test_real_data_has_the_published_statistics(tmp_path: Path, name: str) -> None:
    shape, mean, std, rarest = PUBLISHED[name]
    real = open_store(name, tmp_path, mirror=REAL)
    assert tuple(real.train_images.shape) == shape
    assert len(real.test_images) == len(real.test_labels) == 10_000
    assert real.train_labels.bincount().min() == rarest
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel in range(shape[1]):
        shares = real.train_images[:, channel].flatten().long().bincount(minlength=256).double()
        shares /= shares.sum()
        average = (shares * values).sum()
        assert average.item() == pytest.approx(mean[channel], abs=5e-5)
        assert (shares * (values - average) ** 2).sum().sqrt().item() == pytest.approx(std[channel], abs=5e-5)
