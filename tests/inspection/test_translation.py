"""Accuracy under translation: against SciPy's shift, and on nets whose answer is known."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.inspection.challenges import shift_four_ways, translation_figure
from cnnkit.inspection.robustness import Point, accuracy_under_change, mean_over_runs
from cnnkit.stats.intervals import wilson_interval


def scaled(images: Tensor) -> Tensor:
    return images.float() / 255


def dots(side: int = 9) -> tuple[Tensor, Tensor]:
    """A bright pixel at every place of the middle 3 x 3, and its place as the label."""
    images = torch.zeros(9, 1, side, side, dtype=torch.uint8)
    places = torch.arange(9)
    images[places, 0, side // 2 - 1 + places // 3, side // 2 - 1 + places % 3] = 255
    return images, places


def by_place(images: Tensor) -> Tensor:
    """Knows the dots by where they were, as a dense layer would; says 0 where it sees none."""
    return images[:, 0, 3:6, 3:6].flatten(1) + torch.tensor([0.1] + 8 * [0.0])


@pytest.mark.parametrize("shift", [0, 1, 2, 5])
def test_shifts_are_scipys_with_black_beyond(shift: int) -> None:
    images = torch.randint(1, 256, (2, 3, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    directions = [(-shift, 0), (shift, 0), (0, -shift), (0, shift)]  # up, down, left, right
    for found, moved in zip(shift_four_ways(images, torch.arange(2), shift), directions, strict=True):
        expected = ndimage.shift(images.numpy(), (0, 0, *moved), order=0, mode="constant", cval=0)
        np.testing.assert_array_equal(found.numpy(), expected)
    assert torch.equal(images, before)


def test_a_net_that_knows_places_fails_as_counted_by_hand() -> None:
    images, labels = dots()
    found = accuracy_under_change(by_place, images, labels, scaled, shift_four_ways, [0, 1, 3], batch_size=4)
    # No moved dot is where it was. The first one, whose class is 0, is right where it has left the window: by 1 pixel
    # it does so upwards and to the left, by 3 pixels in all four directions.
    assert [point.accuracy for point in found] == pytest.approx([1.0, 2 / 36, 4 / 36])
    assert [(point.strength, point.n, point.of) for point in found] == [(s, 9, "images") for s in (0, 1, 3)]
    assert (found[0].low, found[0].high) == wilson_interval(9, 9)


def test_a_net_that_looks_everywhere_does_not_mind_until_the_object_leaves() -> None:
    images, _ = dots()
    bright = torch.arange(9) % 2
    images = images * bright[:, None, None, None].byte()

    def net(images: Tensor) -> Tensor:
        brightest = images.flatten(1).amax(1)
        return torch.stack([1 - brightest, brightest], dim=1)

    found = accuracy_under_change(net, images, bright, scaled, shift_four_ways, [0, 1, 2, 3, 4, 5])
    # The four bright dots are in the middles of the window's sides; moved by 4 or 5 of 9 pixels, one, or three, leave.
    assert [point.accuracy for point in found] == pytest.approx([1, 1, 1, 1, 1 - 1 / 9, 1 - 3 / 9])


def test_directions_count_alike_and_black_comes_in_before_normalizing() -> None:
    seen: list[Tensor] = []

    def net(images: Tensor) -> Tensor:
        assert images.is_contiguous(memory_format=torch.channels_last)
        seen.append(images)
        return torch.stack([images[:, 0, 0, 2], torch.full((len(images),), 0.5)], dim=1)

    images = torch.full((5, 3, 4, 5), 200, dtype=torch.uint8)
    images[:, :, 0, 2] = 255  # where the net looks: bright unless black has come in, which is from above
    labels = torch.zeros(5, dtype=torch.int64)
    found = accuracy_under_change(net, images, labels, lambda each: (scaled(each) - 0.5) * 2, shift_four_ways, [1])
    assert found[0].accuracy == 0.75
    assert len(seen) == 4
    assert all(each.amin() == -1 for each in seen)  # black


def test_no_images_and_shifts_that_leave_nothing() -> None:
    images, labels = dots()
    with pytest.raises(UserError, match="shift is 9: the images' smaller side is 9 pixels, give 0 to 8"):
        accuracy_under_change(by_place, images, labels, scaled, shift_four_ways, [0, 9])
    with pytest.raises(UserError, match="there are no images to change"):
        accuracy_under_change(by_place, images[:0], labels[:0], scaled, shift_four_ways, [1])


def test_runs_are_averaged_with_students_interval() -> None:
    curves = [[Point(0, a, 0, 1, 100), Point(2, a - 0.5, 0, 1, 100)] for a in (0.90, 0.92, 0.94)]
    first, second = mean_over_runs(curves)
    assert (first.strength, first.n, first.of) == (0, 3, "runs")
    half = 4.302653 * 0.02 / 3**0.5  # the 97.5 % quantile of Student's t with 2 degrees of freedom
    assert (first.low, first.accuracy, first.high) == pytest.approx((0.92 - half, 0.92, 0.92 + half))
    assert second.accuracy == pytest.approx(0.42)
    assert mean_over_runs(curves[:1]) == curves[0]


def test_the_figure_has_a_line_and_a_band_a_name() -> None:
    few = [Point(0, 0.9, 0.8, 0.95, 50), Point(3, 0.4, 0.3, 0.5, 50)]
    mean = [Point(0, 0.8, 0.7, 0.9, 3, "runs"), Point(3, 0.7, 0.6, 0.8, 3, "runs")]
    (axes,) = translation_figure({"MLP $1": few, "CNN": mean}).axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[0, 0.9], [3, 0.4]], [[0, 0.8], [3, 0.7]]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["MLP $1", "CNN (3 runs)"]
    for band, points in zip(axes.collections, (few, mean), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (min(p.low for p in points), max(p.high for p in points))
