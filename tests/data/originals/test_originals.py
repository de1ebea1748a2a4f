import gzip
import os
import pickle
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_originals import LAYOUTS, MadeSet, pack, tar_gz, write

from cnnkit.data.originals import loading
from cnnkit.data.originals.download import fetch
from cnnkit.data.originals.loading import load_originals
from cnnkit.errors import UserError

LAYOUTS_OF = {
    "mnist": ["mnist raw", "mnist gz", "flat raw", "flat gz"],
    "fashion_mnist": ["fashion raw", "flat gz"],
    "cifar10": [layout for layout in LAYOUTS if layout.startswith("cifar")],
}
CASES = [(name, layout) for name, layouts in LAYOUTS_OF.items() for layout in layouts]
Made = Callable[[str], MadeSet]


class _Evil:
    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("name", "layout"), CASES)
@pytest.mark.parametrize("as_mirror", [False, True])
def test_every_layout_gives_the_same_arrays(
    made: Made, tmp_path: Path, name: str, layout: str, as_mirror: bool
) -> None:
    made_set = made(name)
    folder = made_set.lay(tmp_path / "originals", layout)
    before = tree(folder)
    data_dir = tmp_path / "data" if as_mirror else folder
    loaded = load_originals(name, data_dir, mirror=folder if as_mirror else None)
    for key, expected in made_set.arrays.items():
        got = loaded.arrays[key]
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, expected)
    assert tree(folder) == before
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "layout", "victim"),
    [
        ("mnist", "mnist raw", "MNIST/raw/train-images-idx3-ubyte"),
        ("mnist", "mnist gz", "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar bin", "cifar-10-batches-bin/data_batch_3.bin"),
        ("cifar10", "cifar py", "cifar-10-batches-py/test_batch"),
        ("cifar10", "cifar bin archive", "cifar-10-binary.tar.gz"),
        ("cifar10", "cifar py archive", "cifar-10-python.tar.gz"),
    ],
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty"])
def test_damaged_file_is_named_with_the_remedy(
    made: Made, tmp_path: Path, name: str, layout: str, victim: str, damage: str
) -> None:
    path = made(name).lay(tmp_path, layout) / victim
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes({"flipped": bytes(raw), "cut": bytes(raw[: len(raw) // 2]), "empty": b""}[damage])
    with pytest.raises(UserError, match="not the publisher's") as caught:
        load_originals(name, tmp_path)
    assert str(path) in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert "--data.mirror" in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_strangers_pickle_is_refused_and_runs_nothing(made: Made, tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "ran"
    evil = pickle.dumps(_Evil(os.mkdir, str(trace)), protocol)
    folder = made("cifar10").lay(tmp_path, "cifar py")
    (folder / "cifar-10-batches-py/data_batch_1").write_bytes(evil)
    with pytest.raises(UserError, match=r"data_batch_1 is not the publisher's .*: the SHA-256 of data_batch_1 is"):
        load_originals("cifar10", tmp_path)
    assert not trace.exists()


def test_a_strangers_archive_is_not_opened(made: Made, tmp_path: Path) -> None:
    made_set = made("cifar10")
    members = {f"cifar-10-batches-bin/{file}": raw for file, raw in made_set.files.items()}
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(tar_gz({"bomb": bytes(64 << 20), **members}))
    tracemalloc.start()
    with pytest.raises(UserError, match=r"the SHA-256 of cifar-10-binary.tar.gz is"):
        load_originals("cifar10", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_fashion_mnist_is_not_taken_for_mnist(made: Made, tmp_path: Path) -> None:
    made("mnist")
    made("fashion_mnist").lay(tmp_path, "flat gz")
    with pytest.raises(UserError, match="not the publisher's MNIST file"):
        load_originals("mnist", tmp_path)


def test_mirror_without_the_files_is_an_error_and_no_download(made: Made, tmp_path: Path) -> None:
    made("mnist")
    with pytest.raises(UserError, match="not in the mirror") as caught:
        load_originals("mnist", tmp_path / "data", mirror=tmp_path)
    assert "MNIST/raw/train-images-idx3-ubyte" in str(caught.value)
    assert str(caught.value).endswith("--data.mirror DIR, or leave it out to download them")
    with pytest.raises(UserError, match=r"mirror is .*/no, which is no folder; name the folder .*--data\.mirror DIR"):
        load_originals("mnist", tmp_path / "data", mirror=tmp_path / "no")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'minst'.*mnist, fashion_mnist, cifar10"):
        load_originals("minst", ".")


def test_only_what_is_missing_is_downloaded(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = made("mnist").files
    write(tmp_path / "MNIST/raw/train-images-idx3-ubyte", files["train-images-idx3-ubyte"])
    asked = []

    def transfer(url: str, path: Path) -> None:
        asked.append(url)
        path.write_bytes(gzip.compress(files[url.rpartition("/")[2].removesuffix(".gz")]))

    monkeypatch.setattr(loading, "fetch", partial(fetch, transfer=transfer))
    load_originals("mnist", tmp_path)
    assert len(asked) == 3
    assert all(url.startswith("https://") for url in asked)
    load_originals("mnist", tmp_path)
    assert len(asked) == 3
    assert {path.name for path in (tmp_path / "MNIST/raw").iterdir()} == {
        "train-images-idx3-ubyte",
        *(f"{file}.gz" for file in files if file != "train-images-idx3-ubyte"),
    }


def test_cifar_is_downloaded_as_one_archive_and_checked(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_set = made("cifar10")
    answers = [b"<html>", pack(made_set.files)["cifar-10-binary.tar.gz"]]

    def transfer(url: str, path: Path) -> None:
        path.write_bytes(answers.pop(0))

    monkeypatch.setattr(loading, "fetch", partial(fetch, transfer=transfer, sleep=lambda _: None))
    loaded = load_originals("cifar10", tmp_path)
    np.testing.assert_array_equal(loaded.arrays["train_images"], made_set.arrays["train_images"])
    assert tree(tmp_path).keys() == {"cifar-10-binary.tar.gz", ".cnnkit/download.lock"}


@pytest.mark.parametrize(("name", "place"), [("mnist", "MNIST/raw/"), ("cifar10", "cifar-10-binary.tar.gz")])
def test_unreachable_says_where_and_what_else_in_three_lines(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    made(name)
    with pytest.raises(UserError) as caught:
        load_originals(name, tmp_path)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("cnnkit: downloading ")
    for part in ("no network in tests", str(tmp_path / place), "--data.mirror DIR", "FashionMNISTSample"):
        assert part in message
    assert tree(tmp_path).keys() == {".cnnkit/download.lock"}
