"""Parameters, multiply-accumulates and memory: published tables, torch's own counter, and sums by hand."""

import math

import pytest
import torch
import torchvision
from models.test_nets import NETS, Row, build
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnkit.errors import UserError
from cnnkit.inspection.complexity import complexity
from cnnkit.models import CNN, AlexNet, GoogLeNet, ResNet, TimmNet

PUBLISHED = [
    ("Conv2d", (64, 26, 26), 640),
    ("MaxPool2d", (64, 13, 13), 0),
    ("ReLU", (64, 13, 13), 0),
    ("Conv2d", (128, 11, 11), 73_856),
    ("MaxPool2d", (128, 5, 5), 0),
    ("ReLU", (128, 5, 5), 0),
    ("Flatten", (3200,), 0),
    ("Linear", (200,), 640_200),
    ("ReLU", (200,), 0),
    ("Linear", (10,), 2_010),
]


def test_the_published_table_of_the_small_cnn() -> None:
    found = complexity(CNN())
    assert [(row.type, row.shape, row.parameters) for row in found.rows] == PUBLISHED
    assert (found.image, found.parameters, found.frozen) == ((1, 28, 28), 716_706, 0)
    figures = (found.forward_backward_megabytes, found.parameter_megabytes, found.megabytes)
    assert [f"{figure:.2f}" for figure in figures] == ["0.69", "2.73", "3.43"]
    assert [row.macs for row in found.rows if row.macs] == [64 * 26**2 * 9, 128 * 11**2 * 64 * 9, 3200 * 200, 2000]
    assert [row.field.size[0] for row in found.rows if row.field] == [3, 4, 4, 8, 10, 10, 10, *[math.inf] * 3]
    assert [row.field.stride[0] for row in found.rows if row.field and row.field.stride] == [1, 2, 2, 2, 4, 4]


@pytest.mark.parametrize("row", NETS, ids=str)
def test_macs_agree_with_torchs_counter_and_the_formula_and_parameters_add_up(row: Row) -> None:
    net = build(row)
    found = complexity(net)
    with FlopCounterMode(display=False) as counter:
        net.eval()(torch.zeros(1, 3, 32, 32))
    assert 2 * found.macs == counter.get_total_flops()
    assert found.other_macs == 0
    layers = dict(net.named_modules())
    for each in found.rows:
        layer, macs = layers[each.name], 0
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            macs = math.prod(each.shape) * layer.weight[0].numel()
        assert each.macs == macs, each
    heads = sum(p.numel() for name, p in net.named_parameters() if name.startswith("aux"))  # do not run
    assert (found.parameters, found.other_parameters) == (row.color, heads)


def test_published_figures_of_resnet18_and_mobilenet() -> None:
    found = complexity(torchvision.models.resnet18())
    assert (found.image, found.macs, found.parameters) == ((3, 224, 224), 1_814_073_344, 11_689_512)
    assert f"{found.forward_backward_megabytes:.2f} {found.parameter_megabytes:.2f}" == "62.79 44.59"  # torchsummary's
    assert f"{complexity(torchvision.models.mobilenet_v2()).forward_backward_megabytes:.2f}" == "152.87"


def test_a_layer_that_runs_twice_has_its_parameters_once_and_its_work_twice() -> None:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    found = complexity(nn.Sequential(nn.Conv2d(1, 4, 1), shared, nn.ReLU(), nn.Sequential(shared)), (1, 8, 8))
    assert [(row.type, row.parameters, row.macs) for row in found.rows] == [
        ("Conv2d", 8, 256),
        ("Conv2d", 148, 9216),
        ("ReLU", 0, 0),
        ("Conv2d", 0, 9216),
    ]
    assert (found.parameters, found.macs, found.other_parameters) == (156, 18_688, 0)
    pools = [row for row in complexity(AlexNet()).rows if row.name == "pool"]
    assert [(row.shape[1:], row.field.size) for row in pools if row.field] == [
        ((15, 15), (7, 7)),
        ((7, 7), (19, 19)),
        ((3, 3), (51, 51)),
    ]


def test_parameters_and_work_outside_layers() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.scale, self.square = nn.Linear(8, 8), nn.Parameter(torch.ones(8)), torch.eye(8)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.linear(pixels) * self.scale @ self.square

    found = complexity(nn.Sequential(nn.Flatten(), Scaled()), (2, 2, 2))
    assert [(row.name, row.parameters, row.macs) for row in found.rows] == [
        ("0", 0, 0),
        ("1.linear", 72, 64),
        ("1", 8, 64),
    ]

    class Plain(nn.Sequential):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(pixels) @ torch.eye(8)

    outside = complexity(Plain(nn.Linear(8, 8)), (2, 2, 8))
    assert [row.macs for row in outside.rows] == [4 * 64]
    assert (outside.macs, outside.other_macs, outside.other_parameters) == (8 * 64, 4 * 64, 0)


def test_what_is_frozen_is_counted() -> None:
    net = CNN()
    net.features.requires_grad_(False)
    found = complexity(net)
    assert [row.frozen for row in found.rows if row.parameters] == [640, 73_856, 0, 0]
    assert found.frozen == 74_496


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_less_depth_sums_up_the_same(depth: int) -> None:
    net = ResNet(widths=(4, 8), blocks=(1, 2))
    whole, found = complexity(net), complexity(net, depth=depth)
    assert sum(row.macs for row in found.rows) == whole.macs == found.macs
    assert sum(row.parameters for row in found.rows) == whole.parameters
    assert found.forward_backward_megabytes == whole.forward_backward_megabytes
    names = {
        1: ["conv1", "bn1", "layer1", "layer2", "linear"],
        2: ["conv1", "bn1", "layer1.0", "layer2.0", "layer2.1", "linear"],
    }
    assert [row.name for row in found.rows] == names.get(depth, [row.name for row in whole.rows])


def test_the_heads_run_where_they_are_asked_for() -> None:
    net = GoogLeNet()
    found = complexity(net, run=net.forward_aux)
    heads = {row.name.split(".")[0] for row in found.rows if row.name.startswith("aux")}
    assert (heads, found.other_parameters) == ({"aux1", "aux2"}, 0)


def test_nets_of_timm_at_the_size_that_they_resize_to() -> None:
    found = complexity(TimmNet(1, 10, 28, name="test_resnet", resize=64))
    assert found.image == (1, 28, 28)
    assert found.rows[0].shape[1:] == (32, 32)
    assert all(row.field is not None for row in found.rows)


def test_an_image_that_the_net_does_not_take() -> None:
    with pytest.raises(UserError, match=r"CNN does not take images of 1x40x40: head.1 \(Linear\) was built for 3200"):
        complexity(CNN(), (1, 40, 40))
