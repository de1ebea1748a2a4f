"""Whitening filters, against the covariance of their outputs and against an SVD of the patches."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cnnkit.layers.whitening import whitening_filters


def correlated_images(channels: int) -> torch.Tensor:
    noise = torch.randn(64, channels, 12, 12, generator=torch.Generator().manual_seed(0))
    return F.avg_pool2d(noise, 3, 1) * 2 + noise[:, :1, 1:-1, 1:-1]


@pytest.mark.parametrize(("channels", "kernel_size"), [(1, 2), (3, 2), (2, 3)])
def test_outputs_are_uncorrelated_with_variance_one(channels, kernel_size):
    images = correlated_images(channels)
    filters = whitening_filters(images, kernel_size, eps=0)
    outputs = F.conv2d(images, filters).transpose(0, 1).flatten(1)
    count = channels * kernel_size**2
    assert filters.shape == (count, channels, kernel_size, kernel_size)
    torch.testing.assert_close(torch.cov(outputs), torch.eye(count), rtol=0, atol=1e-3)


def test_filters_are_the_principal_directions_of_all_patches():
    images = correlated_images(3)
    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).double().numpy()  # torch's own order: C, k, k
    _, values, directions = np.linalg.svd(patches - patches.mean(0), full_matrices=False)
    expected = directions / np.sqrt(values**2 / (len(patches) - 1) + 5e-4)[:, None]
    filters = whitening_filters(images, 2).flatten(1).numpy()
    signs = np.sign((filters * expected).sum(1, keepdims=True))
    np.testing.assert_allclose(filters * signs, expected, rtol=1e-3, atol=1e-4)


def test_epsilon_bounds_a_direction_without_variance():
    flat = torch.randn(8, 1, 1, 1).expand(8, 1, 6, 6)
    assert whitening_filters(flat, 2, eps=0.01).flatten(1).norm(dim=1).max() <= 10.001
