import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from made_folders import fill
from made_originals import COUNTS, MadeSet, make_cifar, make_idx, pack

from cnnkit.data import ImageFolder
from cnnkit.data.originals import loading
from cnnkit.data.originals.download import fetch
from cnnkit.data.originals.sources import SOURCES


def offline(url: str, path: Path) -> None:
    raise URLError("no network in tests")


@pytest.fixture(autouse=True)
def _never_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "fetch", partial(fetch, transfer=offline, sleep=lambda _: None))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], MadeSet]:
    """``made(name)`` makes a small set and puts its counts and hashes in the table instead of the real ones."""

    def make(name: str) -> MadeSet:
        made_set = make_cifar() if name == "cifar10" else make_idx(seed=len(name))
        hashes = {file: hashlib.sha256(raw).hexdigest() for file, raw in made_set.files.items()}
        packed = pack(made_set.files) if name == "cifar10" else {}
        packed_hashes = {file: hashlib.sha256(raw).hexdigest() for file, raw in packed.items()}
        known = replace(SOURCES[name], counts=COUNTS[name], sha256=hashes, packed_sha256=packed_hashes)
        monkeypatch.setitem(SOURCES, name, known)
        return made_set

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    fill(tmp_path / "photos", {"red": 20, "green": 30, "blue": 10})
    return tmp_path / "photos"


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Callable[..., ImageFolder]:
    def make(**kwargs: Any) -> ImageFolder:
        options = {"image_size": 8, "batch_size": 8, "num_workers": 0, "seed": 3, "data_dir": str(tmp_path / "data")}
        return ImageFolder(str(photos), **{**options, **kwargs})

    return make
