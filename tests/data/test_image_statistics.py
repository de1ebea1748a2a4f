"""Mean and deviation of channels, against NumPy in float64."""

import numpy as np
import pytest
import torch

from cnnkit.data.image_statistics import compute_channel_statistics, fits


@pytest.mark.parametrize("channels", [1, 3])
def test_they_are_those_of_all_pixels_however_they_come(channels: int) -> None:
    images = torch.randint(0, 256, (37, channels, 5, 7), generator=torch.Generator().manual_seed(channels)).byte()
    images[:, 0] //= 3
    mean, std = compute_channel_statistics(images.split(10))  # type: ignore[no-untyped-call]
    pixels = images.numpy().astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(pixels.std((0, 2, 3)), rel=1e-12)


def test_of_nothing_there_is_nothing() -> None:
    assert compute_channel_statistics([]) == ([], [])


def test_one_channel_out_of_place_is_enough() -> None:
    used = ([0.5, 0.5], [0.25, 0.25])
    assert fits([0.52, 0.48], [0.26, 0.24], *used)
    assert not fits([0.5, 0.53], [0.25, 0.25], *used)
    assert not fits([0.5, 0.5], [0.25, 0.2], *used)
