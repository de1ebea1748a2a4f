import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from cnnkit.transforms import Normalize

STATISTICS = {1: ((0.2860,), (0.3530,)), 3: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_agrees_with_torchvision_in_channels_last(channels, batch, memory_format, dtype):
    mean, std = STATISTICS[channels]
    images = torch.randint(0, 256, (batch, channels, 28, 20), dtype=torch.uint8).to(memory_format=memory_format)
    floats = images / 255
    given = images if dtype == torch.uint8 else floats
    before = given.clone()
    normalized = Normalize(mean, std)(given)
    torch.testing.assert_close(normalized, v2.normalize(floats, list(mean), list(std)), atol=2e-6, rtol=1e-5)
    assert torch.equal(given, before)
    # One channel is channels_last by any strides; only these make the net's output channels_last too.
    assert normalized.stride() == (28 * 20 * channels, 1, 20 * channels, channels)


def test_first_call_under_inference_mode_leaves_gradients_possible():
    normalize = Normalize(*STATISTICS[1])
    with torch.inference_mode():
        normalize(torch.rand(1, 1, 4, 4))
    images = torch.rand(1, 1, 4, 4, requires_grad=True)
    normalize(images).sum().backward()
    torch.testing.assert_close(images.grad, torch.full((1, 1, 4, 4), 1 / 0.3530))


@pytest.mark.parametrize(("mean", "std"), [([], []), ([0.5], [0.5, 0.5]), ([0.5], [0.0]), ([0.5], [float("nan")])])
def test_settings_are_checked(mean, std):
    with pytest.raises(ValueError, match="Normalize"):
        Normalize(mean, std)


def test_channels_must_match():
    with pytest.raises(ValueError, match="there are 3 means, but images have 1 channels"):
        Normalize(*STATISTICS[3])(torch.rand(1, 1, 4, 4))
