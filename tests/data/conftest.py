import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from made_originals import COUNTS, MadeSet, make_cifar, make_idx

from cnnkit.data.sources import SOURCES


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], MadeSet]:
    """``made(name)`` makes a small set and puts its counts and hashes in the table instead of the real ones."""

    def make(name: str) -> MadeSet:
        made_set = make_cifar() if name == "cifar10" else make_idx(seed=len(name))
        hashes = {file: hashlib.sha256(raw).hexdigest() for file, raw in made_set.files.items()}
        monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], counts=COUNTS[name], sha256=hashes))
        return made_set

    return make
