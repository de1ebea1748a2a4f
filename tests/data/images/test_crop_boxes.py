"""A crop never reaches out of its image: what is decoded small to be checked is decoded at any size in training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnnkit.data.images.decode import read_image
from cnnkit.data.images.resizing import _find_box

# Heights h for which h / side * side is more than h, as floating-point numbers.
ROUNDED_UP = {side: [h for h in range(side, 3000) if h / side * side > h] for side in (224, 299, 448)}


def test_there_are_sizes_that_are_rounded_up() -> None:
    assert {side: len(heights) > 50 for side, heights in ROUNDED_UP.items()} == {224: True, 299: True, 448: True}
    assert 1800 in ROUNDED_UP[224]


@pytest.mark.parametrize("side", ROUNDED_UP)
def test_the_box_of_a_crop_lies_within_the_image(side: int) -> None:
    for height in ROUNDED_UP[side]:
        for extent in ((height, height), (height + 7, height), (height, height + 7)):
            left, top, right, bottom = _find_box(extent, (side, side), "crop")[1]
            assert min(left, top) >= 0
            assert right <= extent[0]
            assert bottom <= extent[1]
            assert (right - left, bottom - top) == pytest.approx((height, height))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(("height", "side"), [(ROUNDED_UP[s][0], s) for s in ROUNDED_UP])
def test_an_image_of_such_a_size_is_read(height: int, side: int, suffix: str, tmp_path: Path) -> None:
    gradient = np.linspace(0, 255, height).astype(np.uint8)[:, None].repeat(height + 10, axis=1)
    file = tmp_path / f"image.{suffix}"
    Image.fromarray(gradient).save(file, quality=95)
    read = read_image(file, 1, (side, side))
    rows = torch.from_numpy(np.interp((np.arange(side) + 0.5) * height / side - 0.5, np.arange(height), gradient[:, 0]))
    assert (read[0, 1:-1].float().mean(1) - rows[1:-1]).abs().max() < 2
