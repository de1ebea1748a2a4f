import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from cnnkit.transforms import AlternatingFlip, Counter, RandomAffine, RandomCrop, RandomHorizontalFlip


def picture(batch=40, channels=3, height=12, width=9):
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8)


def counter(batch=40, epoch=0):
    return Counter(seed=0, epoch=epoch, index=torch.arange(batch))


@pytest.mark.parametrize("mode", ["zero", "reflect"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_each_crop_is_one_of_the_shifted_images(mode, channels_last):
    images = picture(batch=300)
    given = images.to(memory_format=torch.channels_last) if channels_last else images
    crops = RandomCrop(padding=2, mode=mode)(given, counter(300))
    padded = F.pad(images.float(), (2, 2, 2, 2), mode="constant" if mode == "zero" else "reflect").byte()
    offsets = []
    for image, crop in zip(padded, crops, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if torch.equal(image[:, y : y + 12, x : x + 9], crop)]
        assert len(places) == 1
        offsets += places
    assert len(set(offsets)) == 25  # all places occur; (4/5)**300 is nothing


def test_crop_without_padding_is_the_image():
    images = picture()
    assert torch.equal(RandomCrop(padding=0, mode="reflect")(images, counter()), images)


def test_reflection_needs_images_larger_than_the_padding():
    with pytest.raises(ValueError, match="4x9 images cannot be reflected by 4 pixels"):
        RandomCrop(padding=4, mode="reflect")(picture(height=4), counter())


def test_flip_mirrors_about_half_and_twice_is_the_image():
    images = picture(batch=1000)
    flip = RandomHorizontalFlip()
    once = flip(images, counter(1000))
    same = (once == images).flatten(1).all(1)
    mirrored = (once == images.flip(3)).flatten(1).all(1)
    assert torch.all(same ^ mirrored)
    assert 430 < mirrored.sum() < 570
    assert torch.equal(flip(once, counter(1000)), images)


@pytest.mark.parametrize(("p", "axes"), [(0.0, ()), (1.0, (3,))])
def test_flip_never_and_always(p, axes):
    images = picture()
    assert torch.equal(RandomHorizontalFlip(p)(images, counter()), images.flip(axes))


def test_alternating_flip_shows_both_sides_in_any_two_epochs():
    images = picture(batch=1000)
    sides = []
    for epoch in range(4):
        shown = AlternatingFlip()(images, counter(1000, epoch))
        sides.append((shown == images.flip(3)).flatten(1).all(1))
        assert torch.all(sides[-1] ^ (shown == images).flatten(1).all(1))
    assert 430 < sides[0].sum() < 570
    assert torch.equal(sides[0], ~sides[1])
    assert torch.equal(sides[0], sides[2])
    assert torch.equal(sides[1], sides[3])


def test_affine_without_ranges_is_the_image():
    still = RandomAffine(degrees=0, translate=0, scale_low=1, scale_high=1)
    images = picture()
    assert torch.equal(still(images, counter()), images)
    torch.testing.assert_close(still(images / 255, counter()), images / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"degrees": 40, "translate": 0, "scale_low": 1, "scale_high": 1}, "angle"),
        ({"degrees": 0, "translate": 0.3, "scale_low": 1, "scale_high": 1}, "translate"),
        ({"degrees": 0, "translate": 0, "scale_low": 0.5, "scale_high": 2}, "scale"),
        ({"degrees": 40, "translate": 0.3, "scale_low": 0.5, "scale_high": 2}, "all"),
    ],
)
def test_affine_agrees_with_torchvision(settings, names):
    images = picture(batch=8, height=28, width=20)
    transform = RandomAffine(**settings)
    draw = counter(8).uniforms(4).double()
    angle = (2 * draw[0] - 1) * settings["degrees"]
    across = (2 * draw[1] - 1) * settings["translate"] * 20
    down = (2 * draw[2] - 1) * settings["translate"] * 28
    scale = settings["scale_low"] + draw[3] * (settings["scale_high"] - settings["scale_low"])
    for dtype, tolerance in ((torch.uint8, 1), (torch.float32, 1e-4)):
        given = images if dtype == torch.uint8 else images / 255
        moved = transform(given, counter(8))
        for i in range(8):
            expected = v2.affine_image(
                given[i],
                angle=angle[i].item(),
                translate=[across[i].item(), down[i].item()],
                scale=scale[i].item(),
                shear=[0.0, 0.0],
                interpolation=InterpolationMode.BILINEAR,
            )
            torch.testing.assert_close(moved[i].float(), expected.float(), atol=tolerance, rtol=0, msg=names)
