"""Runs before and after their test; test images as files, with no data set at hand."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import FashionMNISTSample
from cnnkit.cli import main
from cnnkit.runs import RunFolder

FIRST = 12  # test images in use


@pytest.fixture(scope="module")
def test_images() -> torch.Tensor:
    return FashionMNISTSample().open().test_images[:FIRST].clone()


@pytest.fixture
def photos(cli: Cli, test_images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of test images as files in the current folder, and no data set any more."""
    Path("photos/more").mkdir(parents=True)
    for k, image in enumerate(test_images):
        Image.fromarray(image[0].numpy()).save(f"photos/{'more/' if k > 6 else ''}{k:02d}.png")

    def gone(self: FashionMNISTSample) -> None:
        raise AssertionError("the data set is not there")

    monkeypatch.setattr(FashionMNISTSample, "open", gone)
    return Path("photos")


@pytest.fixture
def untested(cli: Cli, trained_once: RunFolder) -> RunFolder:
    shutil.copytree(trained_once.path, "runs/untested")
    return RunFolder(Path("runs/untested"))


@pytest.fixture(scope="session")
def tested_once(trained_once: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tested") / "run"
    shutil.copytree(trained_once.path, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNKIT_PRECISION", "32-true")
        assert main(["test", "--run", str(path)]) == 0
    return path


@pytest.fixture
def tested(cli: Cli, tested_once: Path) -> RunFolder:
    shutil.copytree(tested_once, "runs/tested")
    return RunFolder(Path("runs/tested"))
