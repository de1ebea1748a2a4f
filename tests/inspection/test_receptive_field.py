"""Receptive fields: the literature's numbers, and two independent methods that agree on every net."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from gradient_support import measure_field
from models.test_nets import NETS, Row, build
from torch import nn

from cnnkit.errors import UserError
from cnnkit.inspection.receptive_field import (
    Field,
    draw_effective_field,
    effective_receptive_field,
    effective_size,
    receptive_field,
)
from cnnkit.layers import ConvNormAct, Inception, Subsample2d
from cnnkit.models import CNN, NetworkInNetwork, ResNet


def features(name: str) -> nn.Module:
    """The convolutional part, with whatever weights the memory held: they are not looked at."""
    with torch.device("meta"):
        part: nn.Module = getattr(torchvision.models, name)().features
    return part.to_empty(device="cpu")


@pytest.mark.parametrize(("name", "expected"), [("vgg16", 212), ("alexnet", 195)])
def test_fields_of_the_literature(name: str, expected: int) -> None:
    net = features(name)
    assert receptive_field(net).size == measure_field(net).size == (expected, expected)


def test_fields_of_resnet18_in_the_literature() -> None:
    net = torchvision.models.resnet18()
    for method in (receptive_field, measure_field):
        fields = [method(net, layer) for layer in ("layer1", "layer4", None)]
        assert [field.size[0] for field in fields] == [43, 435, 435]


@pytest.mark.parametrize("row", NETS, ids=str)
def test_both_methods_agree_on_every_net(row: Row) -> None:
    net = build(row)
    if row.net.__name__ == "MLP":
        with pytest.raises(UserError, match="no layer that gives a map"):
            receptive_field(net)
        return
    assert receptive_field(net) == measure_field(net)


@pytest.mark.parametrize(
    "net",
    [
        CNN(channels=(4, 4), pooling="subsample"),
        nn.Sequential(
            ConvNormAct(1, 8), Inception(8, 2, 2, 2, 2, 2, 2), nn.MaxPool2d(3, 2, 1), Inception(8, 2, 2, 2, 2, 2, 2)
        ),
        NetworkInNetwork(width=0.1),
        ResNet(widths=(4, 8), blocks=(1, 2)),
        ResNet(widths=(4, 8), blocks=(1, 1), block="preact", shortcut="B"),
    ],
    ids=lambda net: type(net).__name__,
)
def test_both_methods_agree_on_every_layer(net: nn.Module) -> None:
    layers = [
        name for name, module in net.named_modules() if isinstance(module, (nn.Conv2d, nn.MaxPool2d, Subsample2d))
    ]
    fields = [receptive_field(net, name) for name in layers]
    assert fields == [measure_field(net, name) for name in layers]
    assert len({field.size for field in fields}) > 1


def test_random_chains_follow_the_textbook_recurrence() -> None:
    draw = random.Random(0)
    for _ in range(20):
        layers, size, stride, first = list[nn.Module](), 1, 1, 0
        for _ in range(draw.randint(1, 4)):
            k, s, p, d = draw.randint(1, 4), draw.randint(1, 3), draw.randint(0, 1), draw.randint(1, 2)
            pool = draw.choice([True, False]) and k > 1
            p, d = min(p, k // 2), 1 if pool else d
            layers.append(nn.AvgPool2d(k, s, p) if pool else nn.Conv2d(1, 1, k, s, p, d))
            size, first, stride = size + (k - 1) * d * stride, first - p * stride, stride * s
        net = nn.Sequential(*layers)
        expected = Field((size, size), (stride, stride), (first, first))
        assert receptive_field(net, image_size=96) == expected, net
        assert measure_field(net, image_size=96) == expected, net


@pytest.mark.parametrize(
    ("net", "size", "stride", "first"),
    [
        (nn.Conv2d(1, 1, (3, 5), stride=(1, 2), padding=(0, 2)), (3, 5), (1, 2), (0, -2)),
        (nn.Conv2d(1, 1, 3, dilation=4, padding=4), (9, 9), (1, 1), (-4, -4)),
        (nn.Conv2d(1, 1, 4, padding="same"), (4, 4), (1, 1), (-1, -1)),
        (nn.Sequential(nn.ReflectionPad2d((1, 0, 2, 0)), nn.Conv2d(1, 1, 3)), (3, 3), (1, 1), (-2, -1)),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(32)), (3, 3), (1, 1), (-1, -1)),
        (nn.MaxPool2d(3, 2, ceil_mode=True), (3, 3), (2, 2), (0, 0)),
        (nn.Sequential(nn.Conv2d(1, 1, 3), Subsample2d(3), nn.MaxPool2d(2)), (6, 6), (6, 6), (0, 0)),
    ],
)
@pytest.mark.parametrize("method", [receptive_field, measure_field])
def test_fields_by_hand(
    net: nn.Module, size: tuple[int, int], stride: tuple[int, int], first: tuple[int, int], method: Callable[..., Field]
) -> None:
    assert method(net, image_size=32) == Field(size, stride, first)


class Branches(nn.Module):
    """The wide way goes through a kernel of 7, the long way through two of 3; the shortest is the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.one, self.two = (
            nn.Conv2d(1, 1, 7, padding=3),
            nn.Conv2d(1, 1, 3, 1, 1),
            nn.Conv2d(1, 1, 3, 1, 1),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.wide(images), self.two(self.one(images)), images], 1)


class Channels(nn.Module):
    """Channels last and back, a linear layer on them, a shuffle of groups, and halves swapped."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8, 8), nn.Conv2d(8, 2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.linear(self.conv(images).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        batch, channels, height, width = maps.shape
        maps = maps.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(maps.shape)
        left, right = maps.chunk(2, dim=1)
        return self.last(torch.cat([right, left.relu()], 1))


@pytest.mark.parametrize(("net", "size"), [(Branches(), 7), (Channels(), 5)], ids=["branches", "channels"])
def test_the_widest_way_counts_and_channels_do_not(net: nn.Module, size: int) -> None:
    outer = nn.Sequential(net, nn.Identity())
    assert receptive_field(outer, image_size=16).size == (size, size)
    assert measure_field(outer, image_size=16).size == (size, size)


def test_squeeze_and_excitation_makes_every_unit_see_the_whole_image() -> None:
    net = ResNet(widths=(4,), blocks=(1,), squeeze_excite=True).to(memory_format=torch.channels_last)
    for method in (receptive_field, measure_field):
        assert method(net, "layer1.0.conv2").size == (7, 7)
        assert method(net, "layer1").size == (math.inf, math.inf)
    other = torchvision.ops.SqueezeExcitation(4, 2).to(memory_format=torch.channels_last)
    assert receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), other), image_size=16).size == (math.inf, math.inf)


def test_an_image_that_the_net_resizes_counts_as_resized() -> None:
    class Resizing(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(nn.functional.interpolate(images, (40, 40), mode="bicubic"))

    net = Resizing(nn.Conv2d(1, 1, 5), nn.MaxPool2d(2))
    assert receptive_field(net, image_size=8) == measure_field(net, image_size=8)
    assert receptive_field(net, image_size=8).size == (6, 6)


class Rolled(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.roll(3, 2)


@pytest.mark.parametrize(
    ("net", "layer", "message"),
    [
        (CNN(), "features.9", r"CNN runs no layer 'features.9'; those that give one: features.0, features.1"),
        (CNN(), "head.1", r"head.1 of CNN gives no map \(C, H, W\) but \(200,\); name a layer before it"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), Rolled()), None, "comes after something whose effect"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 3)), None, "comes after something whose effect"),
    ],
)
def test_what_has_no_field_is_said(net: nn.Module, layer: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        receptive_field(net, layer)


def refuse(*_: object) -> None:
    raise AssertionError("compiled code was run")


def test_a_net_is_left_as_it_was() -> None:
    net = ResNet(widths=(4,), blocks=(1,)).train()
    net.compile(backend=refuse)  # and so the compiled code cannot have run
    compiled, weights = net._compiled_call_impl, {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.get_rng_state()
    receptive_field(net)
    measure_field(net)
    effective_receptive_field(net, images=1)
    assert net._compiled_call_impl is compiled
    assert all(module.training and not module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


# ---- the effective field ---------------------------------------------------------------------------------------------


def test_the_effective_field_of_one_convolution_is_its_kernel() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Identity())
    weight = net[0].weight.detach().double().sum(0).abs().sum(0)
    np.testing.assert_allclose(effective_receptive_field(net, image_size=16), weight / weight.max(), rtol=1e-5)


def test_the_effective_field_grows_with_the_root_of_the_depth() -> None:
    """Section 2.2 of the paper: n layers of k x k equal weights give a variance of n (k² - 1) / 12."""
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(24)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1 / 9)
    gradient = effective_receptive_field(nn.Sequential(*layers), images=1, image_size=64)
    assert gradient.shape == (49, 49)
    profile = gradient.sum(0) / gradient.sum()
    assert (np.arange(-24, 25) ** 2 * profile).sum() == pytest.approx(24 * 8 / 12, rel=1e-5)
    # A Gaussian is above 4.55 % of its peak within 2.486 standard deviations, a disc.
    assert effective_size(gradient) == pytest.approx(2.486 * 4 * math.pi**0.5, rel=0.03)


def test_larger_fields_than_can_be_shown_are_shown_in_part(tmp_path: Path) -> None:
    net = nn.Sequential(*[nn.Conv2d(1, 1, 3, stride=2, padding=1) for _ in range(8)])
    assert receptive_field(net, image_size=256).size == (511, 511)
    gradient = effective_receptive_field(net, images=2, image_size=256)
    assert gradient.shape == (256, 256)
    assert gradient.max() == 1
    draw_effective_field(gradient, tmp_path / "field.png", "eight layers")
    assert (tmp_path / "field.png").read_bytes().startswith(b"\x89PNG")
