"""Attribution against captum, against the definition, and by the properties that the papers promise."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnnkit import models
from cnnkit.errors import UserError
from cnnkit.inspection.attribution import integrated_gradients, normalize_black, occlusion
from cnnkit.inspection.grad_cam import grad_cam, last_block, last_convolution

captum = pytest.importorskip("captum.attr")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def resnet18() -> nn.Module:
    from torchvision.models import resnet18

    return resnet18(num_classes=5)


def images(count: int = 3, channels: int = 3, size: int = 32) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def small(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), activation(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), activation(),
        nn.Flatten(), nn.Dropout(), nn.Linear(16 * 13 * 13, 5),
    )  # fmt: skip


NETS: list[tuple[str, Callable[[], nn.Module], str, str]] = [  # last convolution, and the block around it
    ("CNN", lambda: models.CNN(3, 5, 32), "features.3", "features.3"),
    ("LeNet5", lambda: models.LeNet5(3, 5, 32), "conv2", "conv2"),
    ("AlexNet", lambda: models.AlexNet(3, 5, 32), "conv5", "conv5"),
    ("NetworkInNetwork", lambda: models.NetworkInNetwork(3, 5, 32, width=0.2), "classifier", "classifier"),
    ("VGG", lambda: models.VGG(3, 5, 32, width=0.1), "features.4.1.0", "features.4.1"),
    ("GoogLeNet", lambda: models.GoogLeNet(3, 5, 32), "stage3.1.branch_pool.1.0", "stage3"),
    ("ResNet", lambda: models.ResNet(3, 5, 32), "layer3.2.conv2", "layer3"),
    ("SE-ResNet", lambda: models.ResNet(3, 5, 32, squeeze_excite=True), "layer3.2.conv2", "layer3"),
    (
        "TimmNet",
        lambda: models.TimmNet(3, 5, 32, name="test_resnet", resize=64),
        "net.layer4.0.downsample.1",
        "net.layer4",
    ),
    ("torchvision's resnet18", resnet18, "layer4.1.conv2", "layer4"),
]


@pytest.mark.filterwarnings("ignore:test_resnet makes")
@pytest.mark.parametrize(("make", "convolution", "block"), [row[1:] for row in NETS], ids=[row[0] for row in NETS])
def test_grad_cam_equals_captums_in_every_net(make: Callable[[], nn.Module], convolution: str, block: str) -> None:
    torch.manual_seed(0)
    net, batch = make().eval(), images(size=64 if make is resnet18 else 32)
    shown = batch if make is resnet18 else None  # a net that does not say what images it takes
    assert last_convolution(net, shown) == (convolution, net.get_submodule(convolution))
    assert last_block(net, shown)[0] == block
    labels = torch.tensor([0, 4, 2])
    for name in {convolution, block}:
        reference = captum.LayerGradCam(net, net.get_submodule(name))
        expected = reference.attribute(batch, labels, relu_attributions=True).squeeze(1).detach()
        found = grad_cam(net, batch, labels, name, upsample=False)
        assert expected.any()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_is_what_the_paper_writes() -> None:
    """Equations 1 and 2, with the gradient of a linear head known by heart: its weights."""
    net, batch = small().eval(), images()
    maps = net[:6](batch)
    weights = net[8].weight.view(5, 16, 13, 13)[3].mean((1, 2)) * 1.0
    expected = torch.einsum("c,bchw->bhw", weights, maps).relu()
    torch.testing.assert_close(grad_cam(net, batch, 3, "5", upsample=False), expected.detach())


def test_upsampling_is_bilinear_and_to_the_images_size() -> None:
    net, batch = small(), images()
    coarse = grad_cam(net, batch, upsample=False)
    assert coarse.shape == (3, 13, 13)
    fine = nn.functional.interpolate(coarse[:, None], (32, 32), mode="bilinear")[:, 0]
    torch.testing.assert_close(grad_cam(net, batch), fine)


def test_what_changes_maps_in_place_afterwards_does_not_change_grad_cam() -> None:
    net, batch = small(), images()
    in_place = small(lambda: nn.ReLU(inplace=True))
    in_place.load_state_dict(net.state_dict())
    torch.testing.assert_close(grad_cam(in_place, batch, 1, "4"), grad_cam(net, batch, 1, "4"))


def test_the_net_is_left_as_it_was() -> None:
    net, batch = small(), images()
    expected = grad_cam(net.eval(), batch)
    net.train()
    net[1].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    torch.testing.assert_close(grad_cam(net, batch), expected)  # dropout and batch statistics would show
    integrated_gradients(net, batch, normalize_black(batch, MEAN, STD), steps=4)
    occlusion(net, batch, normalize_black(batch, MEAN, STD), window=16)
    assert net.training
    assert net[7].training
    assert not net[1].training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())


@torch.inference_mode()
def test_frozen_nets_and_inference_mode_are_no_obstacle() -> None:
    with torch.inference_mode(False):
        net, batch = small(), images()
    base = normalize_black(batch, MEAN, STD)
    expected = grad_cam(net, batch), integrated_gradients(net, batch, base, 2), occlusion(net, batch, base, 2)
    net.requires_grad_(False)
    frozen = batch + 0  # an inference tensor
    found = grad_cam(net, frozen), integrated_gradients(net, frozen, base, 2), occlusion(net, frozen, base, 2)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)
        assert not other.requires_grad


def test_the_predicted_class_is_explained_unless_another_is_named() -> None:
    net, batch = small().eval(), images(8)
    predicted = net(batch).argmax(1)
    assert len(predicted.unique()) > 1
    base = normalize_black(batch, MEAN, STD)
    for method in (grad_cam, lambda *a: integrated_gradients(*a[:2], base, a[2], 4)):
        torch.testing.assert_close(method(net, batch, None), method(net, batch, predicted))
        torch.testing.assert_close(method(net, batch, 2), method(net, batch, torch.full((8,), 2)))


def test_of_a_module_that_runs_twice_the_last_run_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.conv(self.conv(self.first(x)).relu()).mean((2, 3)))

    torch.manual_seed(0)
    net, batch = Twice(), images()
    maps = net.conv(net.conv(net.first(batch)).relu())
    expected = torch.einsum("c,bchw->bhw", net.head.weight[1] / 32**2, maps).relu().detach()
    torch.testing.assert_close(grad_cam(net, batch, 1, net.conv, upsample=False), expected)


def test_squeeze_and_excitation_is_not_taken_for_the_last_convolution() -> None:
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
    net = nn.Sequential(nn.Conv2d(3, 8, 3), gate, nn.Flatten(), nn.Linear(8, 5))
    assert last_convolution(net)[0] == "0"
    assert last_convolution(nn.Sequential(gate[0], nn.Conv2d(3, 8, 1), nn.Flatten()))[0] == "1"  # there is no other


def test_integrated_gradients_are_complete() -> None:
    """Sundararajan et al. 2017, proposition 1: they sum to F(image) - F(baseline)."""
    net, batch = small(nn.Softplus).eval(), images()
    base, labels = normalize_black(batch, MEAN, STD), torch.tensor([0, 1, 2])
    found = integrated_gradients(net, batch, base, labels, steps=200)
    assert found.shape == batch.shape
    with torch.no_grad():
        expected = net(batch).gather(1, labels[:, None])[:, 0] - net(base)[0, labels]
    torch.testing.assert_close(found.sum((1, 2, 3)), expected, rtol=2e-3, atol=2e-3)
    mixed = torch.where(torch.arange(32) < 16, batch, base)  # the right half equals the baseline
    assert not integrated_gradients(net, mixed, base, labels, steps=4)[..., 16:].any()


def test_occlusion_is_the_fall_of_the_logit_under_the_square() -> None:
    net, batch = small().eval(), images(2)
    base = normalize_black(batch, MEAN, STD)
    found = occlusion(net, batch, base, 1, window=8, stride=8)
    covered = batch.clone()
    covered[:, :, 8:16, 24:32] = base[:, :, 8:16, 24:32]
    with torch.no_grad():
        fall = (net(batch) - net(covered))[:, 1]
    torch.testing.assert_close(found[:, 8:16, 24:32], fall[:, None, None].expand(2, 8, 8), rtol=1e-4, atol=1e-6)
    assert occlusion(net, batch, base).shape == (2, 32, 32)


def test_black_is_black_in_pixels() -> None:
    from cnnkit.transforms import Normalize

    batch = Normalize(MEAN, STD)(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    torch.testing.assert_close(normalize_black(batch, MEAN, STD), batch[:1].contiguous())


MISTAKES: list[tuple[Callable[[], Any], str]] = [
    (lambda: last_convolution(models.MLP(3, 5, 32)), "MLP runs no convolution"),
    (lambda: grad_cam(models.MLP(3, 5, 32), images()), "MLP runs no convolution"),
    (lambda: grad_cam(small(), images(), module="8"), "8 of Sequential gives no maps"),
    (lambda: grad_cam(models.ResNet(3, 5, 32), images(), module="layer4"), "has no module 'layer4'; there are layer"),
    (lambda: grad_cam(models.GoogLeNet(3, 5, 32), images(), module="aux1.1"), "do not depend on aux1.1"),
    (lambda: grad_cam(small(), images(), module=nn.Conv2d(3, 3, 3)), "is no module of Sequential"),
    (lambda: occlusion(small(), images(), images(1), window=33), "window is 33"),
    (lambda: occlusion(small(), images(), images(1), window=4, stride=5), "stride 5"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], Any], expected: str) -> None:
    with pytest.raises(UserError) as told:
        mistake()
    assert expected in str(told.value)


def test_without_captum_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    net, batch = small(), images()
    for method in (integrated_gradients, occlusion):
        with pytest.raises(UserError, match=r"pip install 'cnnkit\[explain\]'"):
            method(net, batch, batch[:1])
    assert grad_cam(net, batch).shape == (3, 32, 32)


def test_maps_of_less_than_seven_pixels_are_left_for_an_earlier_block() -> None:
    net = nn.Sequential(*(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Flatten()))
    net.append(nn.Linear(4 * 16, 5))
    batch = torch.zeros(1, 3, 16, 16)  # maps of 8x8, then of 4x4
    assert last_block(net, batch)[0] == "2"
    assert last_block(net, batch, least=7)[0] == "0"
    assert last_block(net, batch, least=9)[0] == "2"  # there is none


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="choose one of Grad-CAM, HiResCAM, LayerCAM"):
        grad_cam(small(), images(), kind="ScoreCAM")  # type: ignore[arg-type]
