import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from cnnkit.transforms import Counter, RandomBrightness, RandomContrast

CASES = [(RandomBrightness, v2.adjust_brightness_image), (RandomContrast, v2.adjust_contrast_image)]


@pytest.mark.parametrize(("transform", "reference"), CASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_light_agrees_with_torchvision(transform, reference, channels):
    images = torch.randint(0, 256, (64, channels, 11, 8), dtype=torch.uint8)
    counter = Counter(seed=0, epoch=0, index=torch.arange(64))
    factors = counter.uniform(0, 0.4, 1.6)
    assert factors.min() < 0.5
    assert factors.max() > 1.5
    for given, tolerance in ((images, 1), (images / 255, 1e-5)):
        expected = torch.stack([reference(i, f.item()) for i, f in zip(given, factors, strict=True)])
        got = transform(amount=0.6)(given, counter)
        torch.testing.assert_close(got, expected, atol=tolerance, rtol=0)
        # One level off is rounding of the last bit, and rare.
        assert (got.float() - expected.float()).abs().mean() < 0.01


@pytest.mark.parametrize(("transform", "_"), CASES)
def test_no_amount_changes_nothing(transform, _):
    images = torch.randint(0, 256, (8, 3, 11, 8), dtype=torch.uint8)
    counter = Counter(seed=0, epoch=0, index=torch.arange(8))
    assert torch.equal(transform(amount=0)(images, counter), images)


def test_contrast_knows_gray_and_color_only():
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        RandomContrast()(torch.rand(4, 2, 8, 8), Counter(0, 0, torch.arange(4)))
