import pytest
import torch
from torchvision.transforms.v2 import functional as F

from cnnkit.transforms import Counter, GaussianBlur


def counter(batch=16):
    return Counter(seed=0, epoch=0, index=torch.arange(batch))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel_size", [1, 3, 9])
def test_blurred_images_are_those_of_torchvision(channels, kernel_size):
    images = torch.randint(0, 256, (16, channels, 20, 32), dtype=torch.uint8)
    transform = GaussianBlur(kernel_size, sigma_low=0.2, sigma_high=3.0)
    chosen, sigma = transform.draw(counter())
    assert 3 < chosen.sum() < 13
    for given, tolerance in ((images, 1), (images / 255, 1e-5)):
        got = transform(given, counter())
        for image, blurs, width, result in zip(given, chosen, sigma, got, strict=True):
            expected = F.gaussian_blur(image, [kernel_size] * 2, [width.item()] * 2) if blurs else image
            torch.testing.assert_close(result, expected, atol=tolerance, rtol=0)


def test_widths_are_uniform_in_their_range():
    chosen, sigma = GaussianBlur(p=0.3).draw(counter(10_000))
    assert chosen.float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert 0.1 <= sigma.min() < 0.12
    assert 1.98 < sigma.max() <= 2
    assert sigma.mean().item() == pytest.approx(1.05, abs=0.02)


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="GaussianBlur: 4x9 images are too small for kernel_size 9"):
        GaussianBlur()(torch.rand(2, 1, 4, 9), counter(2))
