"""What every net must do. A new net: one row in NETS."""

import inspect
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import cnnkit.models
from cnnkit.models import CNN, MLP, VGG, AlexNet, GoogLeNet, LeNet5, NetworkInNetwork, ResNet, SpeedNet, TimmNet


class Row(NamedTuple):
    net: type[nn.Module]
    options: dict[str, Any]
    gray: int  # parameters on 1x28x28 and 10 classes, published or counted by hand
    color: int  # parameters on 3x32x32 and 10 classes

    def __str__(self):
        return f"{self.net.__name__}-{','.join(f'{key}={value}' for key, value in self.options.items())}"


VGG_LIKE = {"channels": (16, 16, 32, 32), "padding": 1, "norm": "batch", "pool_every": 2, "global_pool": True}

NETS = [
    Row(MLP, {}, 795_010, 3_083_010),
    Row(MLP, {"hidden_sizes": ()}, 7_850, 30_730),
    Row(MLP, {"hidden_sizes": (64, 32), "dropout": 0.5, "activation": "gelu"}, 52_650, 199_082),
    Row(CNN, {}, 716_706, 999_458),
    Row(CNN, {"channels": (5, 10), "kernel_size": 5, "hidden_sizes": (32,)}, 6_872, 10_002),
    Row(CNN, {**VGG_LIKE, "hidden_sizes": ()}, 16_794, 17_082),
    Row(CNN, {"channels": (8, 16), "pooling": "strided"}, 84_762, 120_106),
    Row(CNN, {"channels": (8, 16), "pooling": "subsample"}, 83_458, 118_802),
    Row(CNN, {"channels": (8, 16), "pooling": "min", "dropout": 0.3}, 83_458, 118_802),
    Row(CNN, {"channels": (8, 16), "pooling": "sum", "norm": "local_response"}, 83_458, 118_802),
    Row(CNN, {"channels": (8, 16), "pooling": "avg"}, 83_458, 118_802),
    Row(CNN, {"channels": (8, 16), "kernel_size": 4, "padding": "same", "padding_mode": "circular"}, 161_210, 209_466),
    Row(CNN, {"channels": (8, 16), "norm": "batch", "bias": True, "padding": "valid"}, 83_506, 118_850),
    Row(CNN, {"channels": (8, 16), "bias": False, "pooling": "avg", "pool_dilation": 2}, 54_634, 83_578),
    Row(LeNet5, {"padding": "same"}, 61_706, 83_126),
    Row(CNN, {"channels": (8, 16), "activation": "sigmoid"}, 83_458, 118_802),
    Row(LeNet5, {}, 61_706, 83_126),
    Row(LeNet5, {"padding": 0, "activation": "tanh", "pooling": "avg"}, 44_426, 62_006),
    Row(AlexNet, {}, 829_162, 1_035_562),
    Row(NetworkInNetwork, {"width": 0.25}, 61_722, 64_122),
    # 5x5: 14,592 + 460,992; 3x3: 331,968; 1x1: 30,880 + 15,456 + 3 x 37,056 + 1,930; as in the authors' model.
    Row(NetworkInNetwork, {"norm": "none"}, 957_386, 966_986),
    Row(GoogLeNet, {}, 277_918, 279_070),
    Row(GoogLeNet, {"auxiliary": False}, 258_186, 259_338),
    Row(GoogLeNet, {"auxiliary": False, "reduce": False}, 2_545_786, 2_546_938),
    Row(VGG, {}, 9_227_210, 9_228_362),
    Row(VGG, {"depth": 13, "norm": "none", "width": 0.25}, 589_690, 589_978),
    Row(VGG, {"depth": 16}, 14_722_890, 14_724_042),
    Row(ResNet, {}, 269_434, 269_722),
    Row(ResNet, {"residual": False}, 269_434, 269_722),
    Row(ResNet, {"block": "preact"}, 269_434, 269_722),
    Row(ResNet, {"block": "preact", "depth": 14, "shortcut": "B"}, 174_778, 175_066),
    Row(ResNet, {"block": "bottleneck", "depth": 29}, 269_946, 270_234),
    Row(ResNet, {"block": "bottleneck", "depth": 29, "shortcut": "B"}, 312_826, 313_114),
    Row(ResNet, {"widths": (8, 16), "blocks": (1, 2), "drop_path": 0.2, "squeeze_excite": True}, 10_338, 10_482),
    Row(ResNet, {"norm": "none", "activation": "tanh"}, 268_746, 269_034),  # 688 channels: a bias each, not two of norm
    Row(ResNet, {"norm": "none", "block": "preact", "shortcut": "B"}, 271_306, 271_594),
    Row(ResNet, {"norm": "local_response", "block": "bottleneck", "depth": 29}, 267_914, 268_202),
    # 24 (8) first filters with a bias; 3x3 filters 24-64-64, 64-256-256, 256-256-256; 2 x 576 x 2 of batch norm; 2,560.
    Row(SpeedNet, {}, 1_963_304, 1_972_792),
    Row(SpeedNet, {"widths": (8, 16, 24)}, 13_720, 15_144),
    Row(TimmNet, {"name": "test_resnet", "resize": 64, "options": {"zero_init_last": False}}, 373_370, 373_658),
]

every_net = pytest.mark.parametrize("row", NETS, ids=str)


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def build(row, channels=3, size=32, classes=10):
    torch.manual_seed(0)
    return row.net(channels, classes, size, **row.options)


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_every_exported_net_has_a_row():
    exported = {getattr(cnnkit.models, name) for name in cnnkit.models.__all__}
    assert {net for net in exported if inspect.isclass(net)} <= {row.net for row in NETS}


@every_net
def test_arguments_start_with_what_the_data_fills_in(row):
    assert list(inspect.signature(row.net).parameters)[:3] == ["in_channels", "num_classes", "image_size"]
    net = build(row, channels=2, size=(36, 44), classes=7)
    assert (net.in_channels, net.num_classes, net.image_size) == (2, 7, (36, 44))


@every_net
def test_parameter_counts(row):
    assert parameters(build(row, 1, 28)) == row.gray
    assert parameters(build(row, 3, 32)) == row.color


@every_net
@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (32, 32)), (3, (36, 44))], ids=str)
def test_images_become_logits_in_train_and_eval(row, channels, size):
    net = build(row, channels, size, classes=7)
    batch = images(4, channels, *size)
    assert net.train()(batch).shape == net.eval()(batch).shape == (4, 7)


@every_net
def test_the_gradient_reaches_every_parameter(row):
    net = build(row)
    outputs = [net(images(16, 3, 32, 32))]
    if row.options.get("auxiliary", hasattr(net, "forward_aux")):  # plain forward leaves its heads alone
        outputs += net.forward_aux(images(16, 3, 32, 32)).aux_logits.values()
    sum(nn.functional.cross_entropy(logits, torch.arange(16) % 10) for logits in outputs).backward()
    assert [
        name for name, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ] == []


@every_net
def test_in_eval_an_image_is_judged_alone(row):
    net, batch = build(row).eval(), images(6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(batch)[:2], net(batch[:2]), rtol=1e-4, atol=1e-5)


@every_net
def test_channels_last_changes_nothing(row):
    net, batch = build(row).eval(), images(4, 3, 32, 32)
    with torch.no_grad():
        expected = net(batch)
        logits = net.to(memory_format=torch.channels_last)(batch.to(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@every_net
def test_bfloat16_autocast_gives_nearly_the_same_logits(row):
    net, batch = build(row).eval(), images(4, 3, 32, 32)
    with torch.no_grad():
        expected = net(batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(batch)
    assert logits.dtype == torch.bfloat16
    assert (logits - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("row", [row for row in NETS if row.options.get("dropout")], ids=str)
def test_dropout_acts_in_training_only(row):
    net, batch = build(row), images(4, 3, 32, 32)
    assert not torch.equal(net.train()(batch), net(batch))
    assert torch.equal(net.eval()(batch), net(batch))


def test_the_default_cnn_layer_by_layer():
    rows = []
    net = CNN()
    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(
                lambda layer, _, output: rows.append((type(layer).__name__, *output.shape[1:], parameters(layer)))
            )
    net(images(1, 1, 28, 28))
    assert rows == [
        ("Conv2d", 64, 26, 26, 640),
        ("MaxPool2d", 64, 13, 13, 0),
        ("ReLU", 64, 13, 13, 0),
        ("Conv2d", 128, 11, 11, 73_856),
        ("MaxPool2d", 128, 5, 5, 0),
        ("ReLU", 128, 5, 5, 0),
        ("Flatten", 3200, 0),
        ("Linear", 200, 640_200),
        ("ReLU", 200, 0),
        ("Linear", 10, 2_010),
    ]


@pytest.mark.parametrize(
    ("options", "published"),
    [
        ({"depth": 20}, 269_722),
        ({"depth": 32}, 464_154),
        ({"depth": 44}, 658_586),
        ({"depth": 56}, 853_018),
        ({"depth": 110}, 1_727_962),
        ({"widths": (64, 128, 256, 512), "blocks": (2, 2, 2, 2), "shortcut": "B"}, 11_173_962),
    ],
    ids=str,
)
def test_published_parameter_counts_of_residual_nets(options, published):
    assert parameters(ResNet(**options)) == published
    assert parameters(ResNet(**options, residual=False)) <= published


@pytest.mark.parametrize(
    ("net", "published"),
    [(GoogLeNet(auxiliary=False), 260_650), (VGG(depth=16), 14_728_266), (NetworkInNetwork(norm="none"), 966_986)],
    ids=["GoogLeNet of the UvA course", "VGG-16 with biases", "NiN of its authors"],
)
def test_published_parameter_counts_of_nets_with_biases_before_batch_norm(net, published):
    left_out = sum(m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is None)
    assert parameters(net) + left_out == published


def test_residual_nets_name_their_parameters_as_the_published_ones():
    children = [name for name, child in ResNet().named_children() if list(child.parameters())]
    assert children == ["conv1", "bn1", "layer1", "layer2", "layer3", "linear"]
    assert "layer2.0.conv1.weight" in ResNet().state_dict()


def test_a_globally_pooled_cnn_takes_images_of_any_size():
    net = CNN(3, 10, 32, **VGG_LIKE)
    assert net(images(2, 3, 48, 40)).shape == (2, 10)


def test_vgg_pools_as_long_as_there_is_something_to_pool():
    net = VGG(1, 10, 28, width=0.125)
    sizes = []
    for stage in net.features:
        stage.register_forward_hook(lambda stage, _, output: sizes.append(tuple(output.shape[2:])))
    assert net.eval()(images(1, 1, 28, 28)).shape == (1, 10)
    assert sizes == [(14, 14), (7, 7), (3, 3), (1, 1), (1, 1)]


def test_the_heads_of_googlenet_leave_its_logits_alone():
    net = GoogLeNet()
    batch = images(8, 3, 32, 32)
    assert torch.equal(net(batch), net.forward_aux(batch).logits)
    assert {name: logits.shape for name, logits in net.forward_aux(batch).aux_logits.items()} == {
        "aux1": (8, 10),
        "aux2": (8, 10),
    }
    plain = GoogLeNet(auxiliary=False)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("aux")})
    assert torch.equal(plain.eval()(batch), net.eval()(batch))


def test_pooling_after_every_second_convolution():
    layers = [type(layer).__name__ for layer in CNN(3, 10, 32, **VGG_LIKE).features]
    stage = ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"]
    assert layers == stage * 2
