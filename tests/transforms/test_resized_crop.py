import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from cnnkit.transforms import Counter, RandomResizedCrop


def counter(batch=16, epoch=0):
    return Counter(seed=0, epoch=epoch, index=torch.arange(batch))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("stored", "size"), [((40, 36), (32, 32)), ((32, 32), None), ((40, 60), (24, 40))])
def test_boxes_are_scaled_as_in_torchvision(channels, stored, size):
    images = torch.randint(0, 256, (16, channels, *stored), dtype=torch.uint8)
    transform = RandomResizedCrop(0.1)
    transform.size = size
    boxes = torch.stack(transform.draw(stored, counter()), 1).int().tolist()
    for given, tolerance in ((images, 1), (images / 255, 1e-4)):
        got = transform(given, counter())
        assert got.shape == (16, channels, *(size or stored))
        for image, box, result in zip(given, boxes, got, strict=True):
            expected = F.resized_crop(image, *box, size=size or stored, antialias=False)
            torch.testing.assert_close(result.float(), expected.float(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("settings", [(0.08, 1.0, 0.75, 4 / 3), (0.5, 0.9, 0.5, 2.0), (0.9, 1.0, 0.5, 2.0)])
@pytest.mark.parametrize("size", [(40, 40), (30, 60)])
def test_boxes_are_distributed_as_in_torchvision(settings, size):
    torch.manual_seed(0)
    low, high, thin, wide = settings
    reference = v2.RandomResizedCrop(1, scale=(low, high), ratio=(thin, wide))
    image = torch.empty(1, *size)
    theirs = [reference.make_params([image]) for _ in range(3000)]
    boxes = RandomResizedCrop(*settings).draw(size, counter(3000))
    for name, ours in zip(("top", "left", "height", "width"), boxes, strict=True):
        values = torch.tensor([float(each[name]) for each in theirs])
        assert torch.equal(ours, ours.round())
        assert ours.mean().item() == pytest.approx(
            values.mean().item(), abs=5 * (values.std().item() + 0.05) / 3000**0.5 * 1.5
        )
        assert ours.std().item() == pytest.approx(values.std().item(), rel=0.1, abs=0.05)
    top, left, height, width = boxes
    assert torch.all((top >= 0) & (left >= 0) & (top + height <= size[0]) & (left + width <= size[1]))


def test_a_shape_that_never_fits_is_the_middle_as_in_torchvision():
    size = (20, 60)
    reference = v2.RandomResizedCrop(1, scale=(1.0, 1.0), ratio=(1.0, 1.0)).make_params([torch.empty(1, *size)])
    boxes = RandomResizedCrop(1.0, 1.0, 1.0, 1.0).draw(size, counter(4))
    assert [box.tolist() for box in boxes] == [
        [float(reference[name])] * 4 for name in ("top", "left", "height", "width")
    ]


def test_the_whole_image_stays_as_it_is():
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(RandomResizedCrop(1.0, 1.0, 1.0, 1.0)(images, counter(8)), images)
