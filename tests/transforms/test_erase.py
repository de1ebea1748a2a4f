import pytest
import torch

from cnnkit.transforms import Counter, Cutout, RandomErasing


def boxes(transform, batch=2000, channels=3, height=28, width=20):
    """Returns height and width of the rectangle of zeros in each image, after checking that it is one."""
    counter = Counter(seed=0, epoch=0, index=torch.arange(batch))
    erased = transform(torch.ones(batch, channels, height, width), counter) == 0
    assert torch.equal(erased, erased[:, :1].expand_as(erased))
    rows, columns = erased[:, 0].any(2), erased[:, 0].any(1)
    assert torch.equal(erased[:, 0], rows[:, :, None] & columns[:, None, :])
    for marks in (rows, columns):
        starts = marks.int().diff(dim=1, prepend=torch.zeros(batch, 1, dtype=torch.int32)) == 1
        assert starts.sum(1).max() <= 1
    return rows, columns


def test_erasing_keeps_to_its_area_and_shape():
    rows, columns = boxes(RandomErasing(p=1.0, area_low=0.1, area_high=0.3, ratio_low=0.5, ratio_high=2.0))
    height, width = rows.sum(1).double(), columns.sum(1).double()
    area = height * width / (28 * 20)
    rounding = (height + width) / 2 / (28 * 20)
    assert torch.all(area > 0.1 - 2 * rounding)
    assert torch.all(area < 0.3 + 2 * rounding)
    assert area.mean() == pytest.approx(0.2, abs=0.01)
    ratio = height / width
    assert 0.4 < ratio.min() < 0.6
    assert 1.7 < ratio.max() < 2.4
    assert ratio.log().mean() == pytest.approx(0, abs=0.05)


def test_erasing_reaches_every_pixel_alike():
    rows, columns = boxes(RandomErasing(p=1.0, area_low=0.01, area_high=0.01, ratio_low=1, ratio_high=1))
    assert rows.any(0).all()
    assert columns.any(0).all()
    side = rows.sum(1).double().mean()
    middle = columns[:, 5:15].double().mean(0)
    assert middle.mean() == pytest.approx((side / (20 - side + 1)).item(), rel=0.15)


@pytest.mark.parametrize(("low", "high"), [(10, 100), (0.01, 0.1)])
def test_erasing_fits_boxes_that_could_not_have_the_shape(low, high):
    erasing = RandomErasing(p=1.0, area_low=0.9, area_high=1.0, ratio_low=low, ratio_high=high)
    rows, columns = boxes(erasing, batch=100)
    assert torch.all(rows.sum(1) * columns.sum(1) > 0.85 * 28 * 20)


@pytest.mark.parametrize(("transform", "share"), [(RandomErasing(p=0.25), 0.25), (Cutout(p=0.5), 0.5)])
def test_erasing_spares_some_images_wholly(transform, share):
    rows, _ = boxes(transform, batch=4000)
    assert rows.any(1).double().mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("size", [1, 7, 8])
def test_cutout_is_a_square_that_may_hang_over(size):
    rows, columns = boxes(Cutout(size))
    height, width = rows.sum(1), columns.sum(1)
    assert height.max() == size
    assert width.max() == size
    assert height.min() == width.min() == (size + 1) // 2  # the center is always inside
    inside = rows[:, size:-size].double().mean(0)
    assert inside.mean() == pytest.approx(size / 28, rel=0.15)


def test_pixels_outside_the_box_are_untouched():
    images = torch.randn(50, 3, 28, 20)
    counter = Counter(seed=0, epoch=0, index=torch.arange(50))
    for transform in (RandomErasing(p=1.0), Cutout()):
        erased = transform(images, counter)
        assert torch.equal(torch.where(erased == 0, 0, images), erased)
        assert 0 < (erased == 0).float().mean() < 0.34
