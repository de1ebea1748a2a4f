"""Tables of small images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnkit.data import ImageTable


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., ImageTable]:
    def make(path: Path, **kwargs: Any) -> ImageTable:
        options = {"image_size": 8, "batch_size": 4, "num_workers": 0, "seed": 3, "data_dir": str(tmp_path / "data")}
        return ImageTable(str(path), **{**options, **kwargs})

    return make
