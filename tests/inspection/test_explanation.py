"""The figure of an explanation: every map in its place, on a scale that does not lie."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.inspection.attribution import integrated_gradients, normalize_black, occlusion
from cnnkit.inspection.explanation import Explanation, attribution_maps, explanation_figure, feature_picture
from cnnkit.inspection.faithfulness import Faithfulness
from cnnkit.inspection.grad_cam import grad_cam
from cnnkit.models import MLP

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def images() -> Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))


def explanation(channels: int = 3) -> Explanation:
    signed = torch.zeros(16, 16)
    signed[0, 0], signed[1, 1] = -2.0, 0.5
    maps = {"Grad-CAM": signed.relu(), "occlusion": signed}
    return Explanation(torch.full((channels, 16, 16), 9, dtype=torch.uint8), "a $^$ photo\nBag 93 %", maps)


def test_all_methods_explain_the_same_class() -> None:
    pytest.importorskip("captum")
    model, batch = net(), images()
    found = attribution_maps(model, batch, MEAN, STD, labels=3)
    base = normalize_black(batch, MEAN, STD)
    assert list(found) == ["HiResCAM", "integrated gradients", "occlusion"]
    torch.testing.assert_close(found["HiResCAM"], grad_cam(model, batch, 3, kind="HiResCAM"))
    torch.testing.assert_close(found["integrated gradients"], integrated_gradients(model, batch, base, 3).sum(1))
    torch.testing.assert_close(found["occlusion"], occlusion(model, batch, base, 3))


def test_a_net_without_convolutions_has_the_other_maps_unless_grad_cam_is_asked_for() -> None:
    pytest.importorskip("captum")
    assert list(attribution_maps(MLP(3, 5, 16), images(), MEAN, STD)) == ["integrated gradients", "occlusion"]
    with pytest.raises(UserError, match="gives no maps"):
        attribution_maps(MLP(3, 5, 16), images(), MEAN, STD, module="classifier")


@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_zero_and_red_as_strong_as_blue(channels: int) -> None:
    figure = explanation_figure([explanation(channels), explanation(channels)])
    assert len(figure.subfigs) == 2
    first = figure.subfigs[0].axes
    assert [axes.get_title() for axes in first] == ["", "Grad-CAM", "occlusion"]
    signed = first[2].images[0]
    assert signed.norm.vmin == -signed.norm.vmax
    assert [int(255 * value) for value in signed.cmap(signed.norm(0.0))[:3]] == pytest.approx([247] * 3, abs=2)
    red, _, blue, _ = signed.cmap(signed.norm(signed.norm.vmax))
    assert red > blue
    heat = first[1].images[1]
    assert (heat.norm.vmin, heat.norm.vmax) == (0, 0.5)


def test_weak_support_shows_the_image_and_the_map_to_believe_is_bold() -> None:
    plain = explanation()
    scores = {
        "Grad-CAM": Faithfulness(torch.tensor(0.2), torch.tensor(0.9)),
        "occlusion": Faithfulness(*torch.tensor([0.4, 0.8])),
    }
    figure = explanation_figure([Explanation(plain.image, plain.title, plain.maps, scores)])
    _, cam, signed = figure.subfigs[0].axes
    assert cam.images[1].get_alpha().min() == 0
    assert 0.8 < cam.images[1].get_alpha().max() < 1
    assert cam.get_xlabel().endswith("insertion 0.90, deletion 0.20")
    assert [axes.xaxis.label.get_fontweight() for axes in (cam, signed)] == ["bold", "normal"]


def test_a_figure_becomes_a_file_whatever_the_title() -> None:
    flat = explanation()
    empty = Explanation(flat.image, "$\\frac{", {name: torch.zeros(16, 16) for name in flat.maps})
    file = io.BytesIO()
    explanation_figure([flat, empty]).savefig(file, format="png", dpi=50)
    pixels = np.asarray(Image.open(file).convert("RGB"))
    assert pixels.shape[1] == pytest.approx(3 * 85, abs=1)  # releases of Matplotlib round differently
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_feature_maps_are_those_of_the_image_asked_for() -> None:
    maps = {"one": torch.randn(2, 40, 14, 14), "two": torch.randn(2, 3, 7, 7)}
    sheet = feature_picture(maps, index=1)
    other = feature_picture({name: each[1:] for name, each in maps.items()})
    assert torch.equal(sheet, other)
    assert not torch.equal(sheet, feature_picture(maps, index=0))
    assert sheet.shape[0] == 3
    assert sheet.shape[2] == 2 + 16 * 30  # 16 maps of 28 pixels in a row
