"""The challenges of vision: each change against another library's or a property, and the same for any batch."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from cnnkit.inspection.challenges import (
    CHALLENGES,
    GRAY,
    Clutter,
    challenges_figure,
    change_lighting,
    change_scale,
    occlude,
    rotate_both_ways,
)
from cnnkit.inspection.robustness import Point, accuracy_under_change


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("factor", CHALLENGES["lighting"].strengths)
def test_lighting_is_torchvisions_brightness(images: Tensor, factor: float) -> None:
    darker, brighter = change_lighting(images, torch.arange(6), factor)
    for found, each in ((darker, 1 / factor), (brighter, factor)):
        # torchvision cuts off what is behind the point, we round
        assert (found.int() - reference.adjust_brightness(images, float(each)).int()).abs().max() <= 1
    assert darker.float().mean() < images.float().mean() < brighter.float().mean()


@pytest.mark.parametrize("degrees", CHALLENGES["rotation"].strengths)
def test_rotation_and_scale_are_scipys(images: Tensor, degrees: float) -> None:
    right, left = rotate_both_ways(images, torch.arange(6), degrees)
    smaller, larger = change_scale(images, torch.arange(6), 1.5)
    for found, angle, scale in (
        (right, degrees, 1.0),
        (left, -degrees, 1.0),
        (smaller, 0.0, 1 / 1.5),
        (larger, 0, 1.5),
    ):
        cos, sin = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
        matrix, center = np.array([[cos, -sin], [sin, cos]]), (np.array([20, 24]) - 1) / 2  # from output to input
        for image, after in zip(images.double().flatten(0, 1).numpy(), found.flatten(0, 1).numpy(), strict=True):
            offset = center - matrix @ center
            expected = ndimage.affine_transform(image, matrix, offset, order=1, mode="grid-constant")
            assert np.abs(after - expected).max() <= 1


@pytest.mark.parametrize("share", CHALLENGES["occlusion"].strengths)
def test_occlusion_hides_one_square_and_nothing_else(images: Tensor, share: float) -> None:
    images = images.where(images != GRAY, 0)
    (found,) = occlude(images, torch.arange(6), share)
    hidden = (found == GRAY).all(1)
    side = round(share * 20)
    assert (hidden.sum((1, 2)) == side * side).all()
    assert (hidden.any(1).sum(1) == side).all()
    assert (hidden.any(2).sum(1) == side).all()
    assert torch.equal(found * ~hidden[:, None], images * ~hidden[:, None])
    assert len({tuple(h.flatten().tolist()) for h in hidden}) > 1  # not all at one place


@pytest.mark.parametrize("pieces", CHALLENGES["clutter"].strengths)
def test_clutter_comes_from_other_images_and_stays_at_the_border(pieces: float) -> None:
    images = torch.arange(1, 41, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 16, 16).contiguous()
    (found,) = Clutter(images, 40)(images, torch.arange(40), pieces)
    foreign = found != images
    assert foreign.any(3).any(2).all()
    assert not foreign[:, :, 4:-4, 4:-4].any()
    area = foreign.sum((1, 2, 3))
    assert area.max() <= 16 * pieces
    assert area.float().mean() > 8 * pieces**0.5


@pytest.mark.parametrize("name", CHALLENGES)
def test_a_change_does_not_depend_on_the_batch(images: Tensor, name: str) -> None:
    views, strength = CHALLENGES[name].build_views(images, 6), CHALLENGES[name].strengths[2]
    before = images.clone()
    whole = torch.stack(list(views(images, torch.arange(6), strength)))
    single = [torch.stack(list(views(images[i : i + 1], torch.tensor([i]), strength))) for i in range(6)]
    assert torch.equal(whole, torch.cat(single, 1))
    assert torch.equal(images, before)
    assert whole.dtype == torch.uint8


def test_strength_0_is_the_image_as_it_is_and_views_count_alike(images: Tensor) -> None:
    labels = (images.float().mean((1, 2, 3)) > 127).long()

    def net(x: Tensor) -> Tensor:  # knows bright pictures from dark ones
        mean = x.mean((1, 2, 3))
        return torch.stack([127 - mean, mean - 127], dim=1)

    points = accuracy_under_change(net, images, labels, Tensor.float, change_lighting, [0, 4], batch_size=4)
    assert points[0].accuracy == 1
    assert points[1].accuracy == pytest.approx(0.5)  # darker: all 0; brighter: all 1
    assert [point.strength for point in points] == [0, 4]


def test_the_figure_has_a_panel_a_challenge() -> None:
    points = [Point(s, 0.9 - s / 10, 0.5, 1.0, 3, "runs") for s in (0, 1.25, 2)]
    figure = challenges_figure({"lighting": {"a": points, "b": points}, "clutter": {"a": points, "b": points}})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["lighting", "clutter"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["none", "1.25", "2"]
    assert [line.get_ydata().tolist() for line in figure.axes[1].lines] == [[p.accuracy for p in points]] * 2
