import numpy as np
import pytest
import torch

from cnnkit.errors import UserError
from cnnkit.layers import MinPool2d, SumPool2d, make_pool

REDUCTIONS = {"max": np.max, "min": np.min, "avg": np.mean, "sum": np.sum, "subsample": lambda window: window[0, 0]}


def pool_by_loops(image, size, reduce):
    """One window after another, over a numpy image (H, W)."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    windows = [
        [image[r * size : (r + 1) * size, c * size : (c + 1) * size] for c in range(columns)] for r in range(rows)
    ]
    return np.array([[reduce(window) for window in row] for row in windows])


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(("height", "width", "size"), [(6, 4, 2), (7, 5, 2), (9, 10, 3)])
def test_poolings_agree_with_loops_over_windows(name, height, width, size):
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    pooled = make_pool(name, size, channels=3)(images)
    expected = [[pool_by_loops(channel, size, REDUCTIONS[name]) for channel in image] for image in images.numpy()]
    np.testing.assert_allclose(pooled.numpy(), np.array(expected), rtol=1e-5, atol=1e-6)


def test_overlapping_max_pool_of_the_textbook_example():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.nn.MaxPool2d(3, padding=1, stride=2)(image).squeeze().tolist() == [[5, 7], [13, 15]]
    assert MinPool2d(3, padding=1, stride=2)(image).squeeze().tolist() == [[0, 1], [4, 5]]
    assert SumPool2d(3, padding=1, stride=2)(image).squeeze().tolist() == [[10, 24], [51, 90]]


def test_a_sum_is_four_means():
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SumPool2d(2)(images), torch.nn.AvgPool2d(2)(images) * 4)


def test_padding_never_wins_a_min_pool():
    assert MinPool2d(2, padding=1)(torch.full((1, 1, 2, 2), 7.0)).eq(7).all()


def test_a_strided_convolution_can_learn_to_be_an_average_pool():
    images = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    pool = make_pool("strided", 2, channels=3)
    with torch.no_grad():
        pool.bias.zero_()
        pool.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 2, 2) / 4)
    torch.testing.assert_close(pool(images), torch.nn.AvgPool2d(2)(images))


@pytest.mark.parametrize("name", [*REDUCTIONS, "strided"])
def test_poolings_keep_the_memory_format(name):
    images = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    pool = make_pool(name, 2, channels=4).to(memory_format=torch.channels_last)
    assert pool(images).is_contiguous(memory_format=torch.channels_last) or name == "subsample"
    torch.testing.assert_close(pool(images), pool(images.contiguous()))


def test_an_unknown_pooling_is_named_with_the_choices():
    with pytest.raises(UserError, match=r"'median' is unknown; choose one of max, avg, min, sum, subsample, strided"):
        make_pool("median", 2, channels=3)
