"""Pictures by their properties: what is where, in which color."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.reporting.grids import captioned_grid, enlarge, kernel_grid, map_grid, stacked, tile, to_images
from cnnkit.transforms import Normalize


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@settings(deadline=None)
@given(count=st.integers(1, 9), columns=st.integers(1, 5), gap=st.integers(0, 3))
def test_each_image_is_in_its_place_and_all_else_is_filled(count: int, columns: int, gap: int) -> None:
    images = (torch.arange(count * 2 * 3 * 4) % 200).to(torch.uint8).view(count, 2, 3, 4)
    grid = tile(images, columns, gap, fill=255)
    left = torch.ones_like(grid, dtype=torch.bool)
    for number, image in enumerate(images):
        top, side = gap + (number // columns) * (3 + gap), gap + (number % columns) * (4 + gap)
        assert torch.equal(grid[:, top : top + 3, side : side + 4], image)
        left[:, top : top + 3, side : side + 4] = False
    assert (grid[left] == 255).all()
    rows, across = -(-count // columns), min(count, columns)
    assert grid.shape == (2, gap + rows * (3 + gap), gap + across * (4 + gap))


def test_normalization_is_undone_to_the_bit() -> None:
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)
    assert torch.equal(to_images(Normalize(mean, std)(pixels), mean, std), pixels)
    assert to_images(torch.tensor([-9.0, 9.0]).view(1, 1, 1, 2), [0.5], [0.5]).flatten().tolist() == [0, 255]


def test_small_pictures_are_enlarged_by_whole_pixels_and_large_ones_left() -> None:
    image = noise(1, 2, 3)
    large = enlarge(image, 7)
    assert large.shape == (1, 6, 9)
    assert torch.equal(large[:, ::3, ::3], image)
    assert torch.equal(large[:, 2::3, 1::3], image)
    assert torch.equal(enlarge(noise(1, 30, 20)), noise(1, 30, 20))


def test_a_weight_of_zero_is_gray_and_the_sign_is_seen() -> None:
    weight = torch.zeros(2, 1, 3, 3)
    weight[0, 0, 0] = torch.tensor([2.0, 0.0, -1.0])  # largest 2: white; -1: halfway to black
    grid = kernel_grid(weight)
    assert grid.shape == (1, 28, 54)  # two kernels of 24 pixels, gaps of 2
    assert [grid[0, 5, 2 + 8 * column].item() for column in range(3)] == [255, 128, 64]
    assert (grid[0, 2:26, 28:52] == 128).all()  # a kernel of zeros divides by nothing


def test_kernels_are_scaled_each_by_itself() -> None:
    weight = noise(3, 3, 5, 5)
    assert torch.equal(kernel_grid(weight), kernel_grid(weight * torch.tensor([0.01, 1.0, 50.0]).view(3, 1, 1, 1)))


def test_kernels_of_three_channels_have_colors_and_others_are_averaged() -> None:
    red = torch.zeros(1, 3, 3, 3)
    red[:, 0] = 1
    assert kernel_grid(red)[:, 10, 10].tolist() == [255, 128, 128]
    weight = noise(6, 4, 3, 3)
    assert torch.equal(kernel_grid(weight), kernel_grid(weight.mean(1, keepdim=True)))


def test_each_map_goes_from_black_to_white() -> None:
    maps = noise(3, 30, 30) * torch.tensor([1.0, 100.0, 0.0]).view(3, 1, 1)
    grid = map_grid(maps, columns=3)
    parts = [grid[0, 2:32, 2 + 32 * k : 32 + 32 * k] for k in range(3)]
    assert [(part.min().item(), part.max().item()) for part in parts] == [(0, 255), (0, 255), (0, 0)]
    assert parts[0].flatten()[maps[0].argmax()] == 255
    assert map_grid(noise(100, 30, 30), limit=4).shape == map_grid(noise(4, 30, 30)).shape


def test_captions_stand_below_their_images_in_their_color() -> None:
    images = torch.full((2, 1, 28, 28), 7, dtype=torch.uint8)
    grid = captioned_grid(images, ["", "Ankle boot\nBag 93 %"], 2, 3, ["red", "red"]).permute(1, 2, 0).numpy()
    assert grid.dtype == np.uint8
    assert (grid == 7).all(2).sum() == 2 * 84 * 84
    written = ((grid[..., 0] > 200) & (grid[..., 1] < 100)).any(0)  # columns with something red
    assert not written[: len(written) // 2].any()
    assert written[len(written) // 2 :].any()


def test_long_captions_and_names_of_any_kind_are_no_obstacle() -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    wide = captioned_grid(images, ["w" * 10_000]).shape[-1]
    assert wide == captioned_grid(images, ["w" * 41]).shape[-1]
    captioned_grid(images, ["猫 \x1b[2J \udcff 🐈"])
    with pytest.raises(UserError, match="1 images, 2 captions"):
        captioned_grid(images, ["a", "b"])


def test_pictures_are_stacked_under_their_captions() -> None:
    small, large = torch.full((1, 5, 6), 9, dtype=torch.uint8), torch.full((3, 7, 300), 8, dtype=torch.uint8)
    sheet = stacked([small, large], ["one", "two"])
    assert sheet.shape[0] == 3
    assert sheet.shape[2] == 300
    assert torch.equal(sheet[:, -7:], large)
    assert (sheet == 9).all(0).sum() == 30
    Image.fromarray(sheet.permute(1, 2, 0).numpy())  # has the layout that Pillow takes
