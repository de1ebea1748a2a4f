"""Deletion and insertion against a loop over pixels, and against nets whose evidence is known."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cnnkit.inspection.faithfulness import choose_most_faithful, measure_faithfulness
from cnnkit.inspection.grad_cam import grad_cam


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))


def images() -> Tensor:
    return torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def loop_over_pixels(net: nn.Module, image: Tensor, heat: Tensor, label: int, base: float) -> tuple[float, float]:
    """One pixel at a time, with the mean of the trapezoidal rule over 36 steps."""
    order = sorted(range(36), key=lambda place: -float(heat.flatten()[place]))
    found = []
    for canvas, source in ((image.clone(), torch.full_like(image, base)), (torch.full_like(image, base), image)):
        curve = [float(net(canvas[None]).softmax(1)[0, label])]
        for place in order:
            canvas[0, place // 6, place % 6] = source[0, place // 6, place % 6]
            curve.append(float(net(canvas[None]).softmax(1)[0, label]))
        found.append(sum((a + b) / 2 for a, b in pairwise(curve)) / 36)
    return found[0], found[1]


def test_it_is_what_a_loop_over_pixels_computes() -> None:
    net, batch = make_net(), images()
    heat = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(2))
    found = measure_faithfulness(net, batch, heat, torch.full((1, 1, 6, 6), -2.0), labels=2, steps=36)
    for index in range(3):
        deletion, insertion = loop_over_pixels(net, batch[index], heat[index], 2, -2.0)
        torch.testing.assert_close(found.deletion[index], torch.tensor(deletion))
        torch.testing.assert_close(found.insertion[index], torch.tensor(insertion))


def test_the_pixels_that_a_linear_net_adds_up_are_the_ones_to_believe() -> None:
    weight = torch.linspace(-1, 1, 36).view(6, 6)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([weight.flatten(), -weight.flatten()]))
    batch, black = torch.rand(2, 1, 6, 6), torch.zeros(1, 1, 6, 6)
    noise = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
    right = measure_faithfulness(net, batch, batch[:, 0] * weight, black, labels=0)
    wrong = measure_faithfulness(net, batch, -batch[:, 0] * weight, black, labels=0)
    random = measure_faithfulness(net, batch, noise, black, labels=0)
    assert (right.score > random.score).all()
    assert (random.score > wrong.score).all()
    scores = {"wrong": wrong, "right": right, "random": random}
    assert [choose_most_faithful(scores, index) for index in (0, 1)] == ["right", "right"]
    assert choose_most_faithful({}, 0) is None


def test_hirescam_of_a_linear_head_is_the_evidence_and_grad_cam_is_not() -> None:
    """Draelos & Carin 2020: the sum of gradient times map is the logit without the bias."""
    net, batch = make_net(), images()
    maps = net[1](net[0](batch))
    weight = net[3].weight[1].view(1, 3, 6, 6)
    expected = (weight * maps).sum(1).relu().detach()
    torch.testing.assert_close(grad_cam(net, batch, 1, "1", upsample=False, kind="HiResCAM"), expected)
    assert not torch.allclose(grad_cam(net, batch, 1, "1", upsample=False), expected, atol=1e-3)
    layer = (weight.relu() * maps).sum(1).relu().detach()
    torch.testing.assert_close(grad_cam(net, batch, 1, "1", upsample=False, kind="LayerCAM"), layer)


def test_before_a_mean_over_all_pixels_hirescam_is_grad_cam() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    one, other = (grad_cam(net, images(), 2, "1", kind=kind) for kind in ("Grad-CAM", "HiResCAM"))
    torch.testing.assert_close(one, other)
