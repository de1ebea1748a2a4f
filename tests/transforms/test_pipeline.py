import pytest
import torch
from torch import nn

from cnnkit import FashionMNISTSample, transforms
from cnnkit.transforms import (
    Augment,
    Counter,
    CutMix,
    Cutout,
    MixUp,
    Normalize,
    RandomBrightness,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
)


def batch(size=6, channels=3):
    return torch.randint(1, 256, (size, channels, 28, 20), dtype=torch.uint8), torch.arange(size)


def normalize(channels=3):
    return Normalize([0.3] * channels, [0.25] * channels)


def counter(size=6, epoch=0):
    return Counter(seed=4, epoch=epoch, index=torch.arange(size))


def test_nothing_to_apply_is_normalization():
    images, labels = batch()
    out, same_labels = Augment([], normalize())(images, labels, counter(), number=0, num_classes=6)
    assert torch.equal(out, normalize()(images))
    assert torch.equal(same_labels, labels)


def test_order_is_images_normalization_erasing():
    """Erasing is listed first and still acts last: its box holds 0, which no pixel here is normalized to."""
    images, labels = batch()
    augment = Augment([Cutout(size=9), RandomCrop(2), RandomHorizontalFlip()], normalize())
    out, _ = augment(images, labels, counter(), number=0, num_classes=6)
    by_hand = RandomCrop(2)(images, counter().at_stream(1))
    by_hand = normalize()(RandomHorizontalFlip()(by_hand, counter().at_stream(2)))
    assert torch.equal(out, Cutout(size=9)(by_hand, counter().at_stream(0)))
    assert (out == 0).flatten(1).any(1).all()


def test_same_transform_twice_draws_twice():
    images, labels = batch(64)
    twice = Augment([RandomHorizontalFlip(), RandomHorizontalFlip()], normalize())
    out, _ = twice(images, labels, counter(64), number=0, num_classes=64)
    assert not torch.equal(out, normalize()(images))


@pytest.mark.parametrize("channels", [1, 3])
def test_net_is_fed_channels_last(channels):
    images, labels = batch(channels=channels)
    every = [RandomCrop(), RandomBrightness(), RandomErasing(p=1.0), Cutout(), MixUp()]
    out, _ = Augment(every, normalize(channels))(images, labels, counter(), number=0, num_classes=6)
    assert out.dtype == torch.float32
    assert out.stride() == (28 * 20 * channels, 1, 20 * channels, channels)


def test_one_mix_is_chosen_for_each_batch():
    images, labels = batch()
    augment = Augment([MixUp(alpha=1.0), CutMix()], normalize())
    plain = normalize()(images)
    names = []
    for number in range(200):
        out, soft = augment(images, labels, counter(), number, num_classes=6)
        assert soft.shape == (6, 6)
        torch.testing.assert_close(soft.sum(1), torch.ones(6))
        # A pasted image has only pixels of the two, a blend (of different pixels) almost none.
        pasted = ((out == plain) | (out == plain.roll(1, 0))).float().mean() > 0.9
        names.append("cut" if pasted else "blend")
    assert 70 < names.count("cut") < 130


def test_a_run_is_repeated_by_seed_epoch_and_number():
    images, labels = batch()
    every = [RandomCrop(), RandomHorizontalFlip(), RandomErasing(), MixUp(alpha=1.0), CutMix()]
    augment = Augment(every, normalize())
    first = augment(images, labels, counter(epoch=3), 5, 6)
    torch.rand(10)
    again = Augment(every, normalize())(images, labels, counter(epoch=3), 5, 6)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], augment(images, labels, counter(epoch=4), 5, 6)[0])


def test_a_transform_for_single_images_is_refused():
    with pytest.raises(ValueError, match="not a batched augmentation"):
        Augment([nn.Identity()], normalize())


def test_all_exports_exist():
    assert sorted(transforms.__all__) == sorted(set(transforms.__all__))
    assert all(hasattr(transforms, name) for name in transforms.__all__)


def test_a_crop_that_undoes_smaller_images_is_refused():
    crop, smaller = transforms.RandomResizedCrop(), transforms.ProgressiveResize()
    assert Augment([crop, smaller], normalize()).set_size((28, 20))
    with pytest.raises(ValueError, match="augment: RandomResizedCrop undoes the ProgressiveResize before it"):
        Augment([smaller, crop], normalize()).set_size((28, 20))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([transforms.RandomCrop(28, "reflect")], "augment: RandomCrop: 28x28 images cannot be reflected by 28 pixels"),
        (
            [transforms.ProgressiveResize(0.5), transforms.RandomCrop(20, "reflect")],
            "augment: RandomCrop: 14x14 images cannot be reflected by 20 pixels; set a padding of at most 13",
        ),
        ([transforms.GaussianBlur(57)], "augment: GaussianBlur: 28x28 images are too small for kernel_size 57"),
    ],
)
def test_images_that_a_transform_cannot_take_are_refused_before_a_batch(kinds: list, message: str):
    with pytest.raises(ValueError, match=message):
        FashionMNISTSample(augment=kinds)


@pytest.mark.parametrize("kind", [transforms.ColorJitter, transforms.RandAugment, transforms.RandomContrast])
def test_colors_of_two_channels_are_refused_before_a_batch(kind: type):
    Augment([kind()], normalize()).check_images(3, (8, 8))
    with pytest.raises(ValueError, match=f"augment: {kind.__name__}: images must have 1 or 3 channels, got 2"):
        Augment([kind()], normalize()).check_images(2, (8, 8))
