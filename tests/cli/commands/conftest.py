"""Test images as files, with no data set at hand."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import FashionMNISTSample

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
