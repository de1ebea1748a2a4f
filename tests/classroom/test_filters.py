"""Filters against SciPy and Pillow, which know nothing of torch."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL import ImageFilter as PillowFilter
from scipy import ndimage
from torch import Tensor

from cnnkit.classroom.filters import FILTERS, ImageFilter, make_kernel
from cnnkit.errors import UserError

MODES = {"replicate": "nearest", "reflect": "mirror"}  # SciPy's names


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Two color images that are not square."""
    return torch.rand(2, 3, 17, 23, generator=torch.Generator().manual_seed(0))


def by_scipy(images: Tensor, weights: np.ndarray, border: str) -> np.ndarray:
    # The middle of an even kernel is left of SciPy's.
    origin = [-1 if side % 2 == 0 else 0 for side in weights.shape]
    channels = images.double().numpy().reshape(-1, *images.shape[2:])
    done = [ndimage.correlate(channel, weights, mode=MODES[border], origin=origin) for channel in channels]
    return np.stack(done).reshape(images.shape)


@pytest.mark.parametrize("border", list(MODES))
@pytest.mark.parametrize("name", [name for name in FILTERS if name not in ("sobel", "sepia")])
def test_the_module_correlates_each_channel_with_the_kernel(images: Tensor, name: str, border: str) -> None:
    for each in (images, images[:, :1]):
        expected = by_scipy(each, make_kernel(name).double().numpy(), border)
        np.testing.assert_allclose(ImageFilter(name, border=border)(each).numpy(), expected, atol=1e-6)


def test_blurs_are_those_of_scipy_and_pillow(images: Tensor) -> None:
    gray = images[0, 0]
    expected = ndimage.gaussian_filter(gray.double().numpy(), 1.7, mode="nearest", radius=6)
    np.testing.assert_allclose(ImageFilter("gaussian", sigma=1.7)(gray[None, None])[0, 0], expected, atol=1e-6)
    narrow = ndimage.gaussian_filter(gray.double().numpy(), 1.7, mode="mirror", radius=2)
    found = ImageFilter("gaussian", size=5, sigma=1.7, border="reflect")(gray[None, None])[0, 0]
    np.testing.assert_allclose(found, narrow, atol=1e-6)
    pixels = gray.mul(255).byte()
    blurred = np.asarray(Image.fromarray(pixels.numpy()).filter(PillowFilter.BoxBlur(2)), dtype=float)
    found = ImageFilter("box", size=5)(pixels[None, None].float())[0, 0]
    np.testing.assert_allclose(found, blurred, atol=1.01)  # Pillow rounds twice


def test_sobel_is_that_of_scipy(images: Tensor) -> None:
    gray = images[:1, :1]
    x, y = (ndimage.sobel(gray[0, 0].double().numpy(), axis, mode="nearest") for axis in (1, 0))
    for name, expected in {"sobel_x": x, "sobel_y": y, "sobel": np.hypot(x, y)}.items():
        np.testing.assert_allclose(ImageFilter(name)(gray)[0, 0].numpy(), expected, atol=2e-6)


def test_sharpen_is_the_image_less_its_laplacian(images: Tensor) -> None:
    laplacian = ndimage.laplace(images[0, 0].double().numpy(), mode="nearest")
    expected = images[0, 0].double().numpy() - laplacian
    np.testing.assert_allclose(ImageFilter("sharpen")(images)[0, 0].numpy(), expected, atol=1e-6)


def test_sepia_is_a_color_matrix_and_makes_gray_brown(images: Tensor) -> None:
    pixels = images[0].mul(255).byte()
    photo = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    rows = [(*row, 0) for row in make_kernel("sepia").tolist()]
    expected = np.asarray(photo.convert("RGB", tuple(value for row in rows for value in row)), dtype=float)
    found = ImageFilter("sepia").render(pixels[None] / 255)[0].permute(1, 2, 0).mul(255).numpy()
    np.testing.assert_allclose(found, expected, atol=1)  # Pillow rounds
    red, green, blue = ImageFilter("sepia")(torch.full((1, 1, 1, 1), 0.5)).flatten().tolist()
    assert (red, green, blue) == pytest.approx((0.6755, 0.6015, 0.4685))
    with pytest.raises(UserError, match="sepia: images have 2 channels"):
        ImageFilter("sepia")(images[:, :2])


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "sepia"])
def test_an_even_area_stays_or_becomes_black(name: str) -> None:
    expected = 0.0 if "sobel" in name or "edge" in name else 0.25
    for border in MODES:
        assert ImageFilter(name, border=border)(torch.full((1, 3, 9, 8), 0.25)) == pytest.approx(expected, abs=1e-6)


def test_filters_say_in_which_direction_an_edge_runs() -> None:
    vertical = torch.zeros(1, 1, 8, 8)
    vertical[..., 4:] = 1
    for name, across in {"sobel_x": 4.0, "vertical_edge": 1.0}.items():
        filtered = ImageFilter(name)
        assert filtered(vertical).abs().amax() == across
        assert not filtered(vertical.mT).any()
        picture = filtered.render(vertical)
        assert picture.amax() == 1  # black to white
        assert torch.equal(picture, filtered.render(1 - vertical))  # and back
    assert not ImageFilter("sobel_y")(vertical).any()
    assert ImageFilter("sobel")(vertical.mT).amax() == 4


def test_emboss_is_lit_from_the_upper_left() -> None:
    square = torch.full((1, 1, 12, 12), 0.5)
    square[..., 4:8, 4:8] = 0.6
    relief = ImageFilter("emboss")(square)[0, 0]
    assert relief[4, 4] > 0.6 > relief[5, 5] - 1e-6  # its corner; within it nothing changes
    assert relief[8, 8] < 0.5


def test_pictures_can_be_shown(images: Tensor) -> None:
    for name in FILTERS:
        picture = ImageFilter(name).render(images)
        assert picture.shape == images.shape
        assert 0 <= picture.min() < picture.max() <= 1


def test_half_precision_stays(images: Tensor) -> None:
    assert ImageFilter("gaussian")(images.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "blurr"}, "filter is 'blurr': there are box, gaussian"),
        ({"name": "box", "size": 4}, "size is 4: give an odd number"),
        ({"name": "sobel", "size": 5}, "size is 5, but sobel has one size only"),
        ({"name": "box", "sigma": 1.0}, "sigma is 1.0, but box has none"),
        ({"name": "gaussian", "sigma": 0.0}, "sigma is 0.0: give pixels above 0"),
        ({"name": "gaussian", "sigma": 1e9}, "size is 6000000001: give an odd number up to 9999"),
        ({"name": "gaussian", "sigma": float("nan")}, "sigma is nan: give pixels above 0"),
        ({"name": "box", "border": "wrap"}, "border is 'wrap': give 'replicate' or 'reflect'"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        ImageFilter(**settings)  # type: ignore[arg-type]


def test_a_kernel_may_be_larger_than_the_image_but_not_than_its_mirror() -> None:
    small = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    wide = ImageFilter("box", size=101)(small)
    assert wide.amax() - wide.amin() < small.amax() - small.amin()
    with pytest.raises(UserError, match="the image is 3x3, too small to be mirrored for a kernel of 1x7"):
        ImageFilter("box", size=7, border="reflect")(small)
