import pytest
import torch
from torchvision.transforms import v2

from cnnkit.transforms import Counter, RandAugment, TrivialAugmentWide, auto

CASES = [(RandAugment, v2.RandAugment), (TrivialAugmentWide, v2.TrivialAugmentWide)]


def counter(batch):
    return Counter(seed=0, epoch=0, index=torch.arange(batch))


@pytest.mark.parametrize(("transform", "reference"), CASES)
@pytest.mark.parametrize("bins", [31, 11])
def test_operations_and_magnitudes_are_those_of_torchvision(transform, reference, bins):
    ours = transform(num_magnitude_bins=bins).list_magnitudes(40, 24)
    theirs = reference()._AUGMENTATION_SPACE
    assert set(auto.NAMES) == set(theirs)
    for name, (find, signed) in theirs.items():
        values = find(bins, 40, 24)
        assert (name in ours) == (values is not None)
        assert (name in auto.SIGNED) == signed
        if values is not None:
            torch.testing.assert_close(ours[name].float(), values.float())


@pytest.mark.parametrize(("transform", "reference"), CASES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", auto.NAMES)
def test_each_operation_agrees_with_torchvision(transform, reference, channels, name):
    images = torch.randint(20, 230, (8, channels, 32, 28), dtype=torch.uint8)
    images[4:] = (images[4:] // 4) + 60  # of little contrast
    images[7] = 99
    # With an even level, a shear takes whole rows from halfway between two pixels, and rounding decides.
    level = torch.tensor([1, 3, 7, 11, 17, 23, 29, 29] if name in auto.MOVES else [0, 3, 9, 15, 20, 25, 30, 30])
    negative = torch.arange(8) % 2 == 1
    mine, theirs = transform(), reference()
    got = mine.apply_operations(images, torch.full((8,), auto.NAMES.index(name)), level, negative)
    for i in range(8):
        magnitude = mine.list_magnitudes(32, 28)[name][level[i]].item() if name in mine.list_magnitudes(32, 28) else 0.0
        magnitude = -magnitude if name in auto.SIGNED and negative[i] else magnitude
        expected = theirs._apply_image_or_video_transform(
            images[i], name, magnitude, interpolation=theirs.interpolation, fill=theirs._fill
        )
        off = (got[i].int() - expected.int()).abs()
        if name not in auto.MOVES:
            assert off.max() <= 1
        if name != "Color" and i < 7:  # these often come to a whole number, which rounding moves across
            assert (off > 0).float().mean() < 0.01


@pytest.mark.parametrize("draws", [RandAugment(num_ops=1), TrivialAugmentWide()])
def test_operations_levels_and_signs_are_equally_likely(draws, monkeypatch):
    seen = {}

    def apply(images, operation, level, negative):
        seen.update(operation=operation, level=level, negative=negative)
        return images

    monkeypatch.setattr(draws, "apply_operations", apply)
    draws(torch.zeros(28_000, 1, 1, 1, dtype=torch.uint8), counter(28_000))
    assert (seen["operation"].bincount(minlength=14) - 2000).abs().max() < 200
    assert seen["negative"].float().mean().item() == pytest.approx(0.5, abs=0.01)
    if isinstance(draws, RandAugment):
        assert torch.all(seen["level"] == 9)
    else:
        assert (seen["level"].bincount(minlength=31) - 28_000 / 31).abs().max() < 150


def test_the_operations_of_an_image_are_independent():
    images = torch.full((1000, 1, 8, 8), 100, dtype=torch.uint8)
    operations = []
    transform = RandAugment(num_ops=2)
    transform.apply_operations = lambda images, operation, level, negative: operations.append(operation) or images
    transform(images, counter(1000))
    first, second = operations
    assert 40 < (first == second).sum() < 110  # 1000 / 14
