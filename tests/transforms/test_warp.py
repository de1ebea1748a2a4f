import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from cnnkit.transforms import Counter, RandomPerspective, RandomRotation, RandomVerticalFlip
from cnnkit.transforms.warp import find_homographies


def counter(batch=16):
    return Counter(seed=0, epoch=0, index=torch.arange(batch))


def smooth(batch, channels, height, width):
    """Images without noise, on which a difference in place of a thousandth of a pixel is small."""
    rough = torch.rand(batch, channels, 4, 4)
    return torch.nn.functional.interpolate(rough, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_rotations_agree_with_torchvision(channels):
    images = smooth(16, channels, 32, 24)
    angles = (2 * counter().uniform(0).double() - 1) * 40
    assert angles.min() < -30
    assert angles.max() > 30
    for given, tolerance in (((images * 255).byte(), 1), (images, 1e-4)):
        got = RandomRotation(40)(given, counter())
        for image, angle, result in zip(given, angles, got, strict=True):
            expected = F.rotate(image, -angle.item(), interpolation=InterpolationMode.BILINEAR)
            torch.testing.assert_close(result.float(), expected.float(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("distortion", [0.3, 0.9])
def test_perspectives_agree_with_torchvision(channels, distortion):
    images = smooth(16, channels, 32, 24)
    transform = RandomPerspective(distortion, p=1)
    corners = transform.draw((32, 24), counter()).int().tolist()
    start = [[0, 0], [23, 0], [23, 31], [0, 31]]
    for given, tolerance in (((images * 255).byte(), 1), (images, 1e-3)):
        got = transform(given, counter())
        for image, end, result in zip(given, corners, got, strict=True):
            expected = F.perspective(image, start, end)
            torch.testing.assert_close(result.float(), expected.float(), atol=tolerance, rtol=0)


def test_corners_are_distributed_as_in_torchvision():
    corners = RandomPerspective(0.6).draw((32, 24), counter(3000))
    reference = v2.RandomPerspective(0.6)
    theirs = torch.tensor([reference.make_params([torch.empty(1, 32, 24)])["coefficients"] for _ in range(300)])
    homographies = find_homographies((32, 24), corners)
    ours = (homographies / homographies[:, 2:, 2:]).flatten(1)[:, :8]
    assert corners.amin((0,)).tolist() == [[0, 0], [16, 0], [16, 22], [0, 22]]
    assert corners.amax((0,)).tolist() == [[7, 9], [23, 9], [23, 31], [7, 31]]
    scale = theirs.std(0) + 1e-6
    assert ((ours.mean(0) - theirs.mean(0)).abs() / scale).max() < 0.35


def test_half_of_the_images_are_changed():
    images = smooth(400, 1, 12, 12)
    changed = (RandomPerspective()(images, counter(400)) != images).flatten(1).any(1)
    assert 150 < changed.sum() < 250


def test_vertical_flip_mirrors_about_half():
    images = torch.randint(0, 256, (1000, 3, 9, 5), dtype=torch.uint8)
    flipped = RandomVerticalFlip()(images, counter(1000))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(2)).flatten(1).all(1)
    assert torch.all(same ^ mirrored)
    assert 430 < mirrored.sum() < 570
