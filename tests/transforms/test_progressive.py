import pytest
import torch
from torchvision.transforms.v2 import functional as v2

from cnnkit.errors import UserError
from cnnkit.transforms import Counter, ProgressiveResize


def resize(images, epoch, **settings):
    return ProgressiveResize(**settings)(images, Counter(0, epoch, torch.arange(len(images))))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_first_epochs_have_torchvisions_smaller_images(dtype):
    images = torch.randint(0, 256, (4, 3, 32, 20), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    small = resize(images, 1, scale=0.75, epochs=2)
    assert small.dtype == dtype
    expected = v2.resize(images, [24, 15], antialias=True)
    torch.testing.assert_close(small.float(), expected.float(), rtol=0, atol=1.0 if dtype == torch.uint8 else 1e-5)


def test_later_epochs_have_the_images_as_they_are():
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(resize(images, 2, epochs=2), images)
    assert torch.equal(resize(images, 0, epochs=0), images)


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": 1.5}, {"epochs": -1}, {"epochs": 1.5}])
def test_settings_are_checked(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))} is .*: ProgressiveResize takes"):
        ProgressiveResize(**wrong)
