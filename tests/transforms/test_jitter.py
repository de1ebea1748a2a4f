from itertools import permutations

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from cnnkit.transforms import ColorJitter, Counter, RandomGrayscale, jitter, kinds

ADJUST = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
}


def pictures(batch=16, channels=3, size=32):
    # Pixels of every kind: noise, gray, primary colors, black and white.
    images = torch.randint(0, 256, (batch, channels, size, size), dtype=torch.uint8)
    images[:, :, :4] = images[:, :1, :4]
    images[:, :, 4:8] = 255 * (images[:, :, 4:8] > 127)
    return images


def counter(batch=16):
    return Counter(seed=0, epoch=0, index=torch.arange(batch))


def expected_of(transform, images, counter):
    amounts, order = transform.draw(counter)
    orders = list(permutations(amounts))
    changed = images.clone()
    for i in range(len(images)):
        for name in orders[order[i]]:
            changed[i] = ADJUST[name](changed[i], amounts[name][i].item())
    return changed


@pytest.mark.parametrize("name", ADJUST)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_amount_agrees_with_torchvision(name, channels):
    settings = {**dict.fromkeys(ADJUST, 0.0), name: 0.5 if name == "hue" else 0.9}
    transform, images = ColorJitter(**settings), pictures(channels=channels)
    got = transform(images, counter())
    # torchvision truncates bytes where they are rounded here.
    expected = expected_of(transform, images, counter())
    torch.testing.assert_close(got.float(), expected.float(), atol=1, rtol=0)
    pixels = images / 255
    expected = expected_of(transform, pixels, counter())
    torch.testing.assert_close(transform(pixels, counter()), expected, atol=1e-5, rtol=0)
    assert channels == 1 or not torch.equal(got, images)
    assert channels == 3 or name in ("brightness", "contrast") or torch.equal(got, images)


@pytest.mark.parametrize("alone", [True, False])
def test_all_amounts_in_each_images_order_agree_with_torchvision(alone, monkeypatch):
    for module in (kinds, jitter):  # alone: as on a CPU; else as on a GPU
        monkeypatch.setattr(module, "selects_images", lambda device: alone)
    transform, images = ColorJitter(0.4, 0.4, 0.4, 0.2), pictures(64)
    assert len(transform.draw(counter(64))[1].unique()) > 15  # of 24 orders
    expected = expected_of(transform, images / 255, counter(64))
    torch.testing.assert_close(transform(images / 255, counter(64)), expected, atol=1e-5, rtol=0)
    got = transform(images, counter(64))
    assert (got / 255 - expected).abs().max() < 1.5 / 255
    # torchvision's own bytes are truncated after each of four changes.
    difference = got.float() - expected_of(transform, images, counter(64)).float()
    assert difference.abs().max() <= 8
    assert difference.mean().abs() < 2


def test_amounts_and_orders_are_those_of_torchvision():
    settings = {"brightness": 0.4, "contrast": 1.5, "saturation": 0.3, "hue": 0.2}
    amounts, order = ColorJitter(**settings).draw(counter(20_000))
    reference = v2.ColorJitter(**settings)
    for name, values in amounts.items():
        low, high = getattr(reference, name)
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    shares = order.bincount(minlength=24) / 20_000
    assert len(shares) == 24
    assert (shares - 1 / 24).abs().max() < 0.006


def test_nothing_changes_without_amounts():
    images = pictures()
    assert torch.equal(ColorJitter(0, 0, 0, 0)(images, counter()), images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_gray_images_are_those_of_torchvision(dtype):
    images = pictures(200) if dtype == torch.uint8 else pictures(200) / 255
    got = RandomGrayscale(p=0.3)(images, counter(200))
    gray = F.rgb_to_grayscale(images, 3)
    changed = (got != images).flatten(1).any(1)
    assert 40 < changed.sum() < 80
    torch.testing.assert_close(got[changed], gray[changed], atol=1e-6 if dtype == torch.float32 else 1, rtol=0)
    assert torch.equal(RandomGrayscale(p=1)(images[:, :1], counter(200)), images[:, :1])


@pytest.mark.parametrize("transform", [ColorJitter(), RandomGrayscale()])
def test_two_channels_are_refused(transform):
    with pytest.raises(ValueError, match=f"{type(transform).__name__}: images must have 1 or 3 channels, got 2"):
        transform(torch.rand(4, 2, 8, 8), counter(4))
