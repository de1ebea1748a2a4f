"""What single nets must do: parameters as published, and their own arguments."""

import pytest
import torch
from models.test_nets import VGG_LIKE, images, parameters
from torch import nn

from cnnkit.errors import UserError
from cnnkit.models import CNN, MLP, VGG, AlexNet, GoogLeNet, LeNet5, NetworkInNetwork, ResNet


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


@pytest.mark.parametrize(
    ("build_net", "message"),
    [
        (lambda: CNN(image_size=9), r"image_size 9 is too small for CNN: .*MaxPool2d(.|\n)*at least 10x10"),
        (
            lambda: LeNet5(image_size=(8, 40)),
            r"image_size \(8, 40\) is too small for LeNet5: Conv2d(.|\n)*at least 12x12",
        ),
        (lambda: CNN(pooling="median"), "pooling 'median' is unknown"),
        (lambda: CNN(channels=()), "channels is"),
        (lambda: CNN(padding="full"), "padding 'full' is unknown; give a number of pixels, same or valid"),
        (lambda: CNN(padding=-1), "padding is -1; give 0 or more"),
        (lambda: CNN(padding="same", stride=2), "padding 'same' keeps the size at stride 1, and stride is 2"),
        (lambda: CNN(padding_mode="mirror"), "padding_mode 'mirror' is unknown; choose one of zeros, reflect"),
        (
            lambda: CNN(image_size=9, kernel_size=7, padding=3, padding_mode="reflect", channels=(4, 4, 4)),
            r"image_size 9 is too small for CNN: .*has padding_mode reflect with a padding of 3 for 2x2",
        ),
        (lambda: CNN(kernel_size=0), "kernel_size is 0; give at least 1"),
        (lambda: CNN(pool_dilation=0), "a dilation of 0; give at least 1"),
        (lambda: CNN(pool_every=0), "pool_every 0"),
        (lambda: ResNet(depth=21), r"depth is 21; .* 6 n \+ 2: give 20 or 26"),
        (lambda: ResNet(blocks=(2, 2)), "blocks is"),
        (lambda: ResNet(block="dense"), "block 'dense' is unknown"),
        (lambda: AlexNet(image_size=14), r"image_size 14 is too small for AlexNet(.|\n)*at least 15x15"),
        (lambda: AlexNet(channels=(8, 8)), "AlexNet has five convolutions"),
        (lambda: NetworkInNetwork(width=0), "width is 0; give a factor"),
        (lambda: VGG(depth=12), "depth is 12"),
        (lambda: GoogLeNet(auxiliary=False).forward_aux(images(1, 3, 32, 32)), "built with auxiliary=False"),
        (lambda: MLP(image_size=0), "image_size is 0"),
        (lambda: MLP(activation="softplus"), "activation 'softplus' is unknown"),
    ],
)
def test_impossible_arguments_are_named_with_the_remedy(build_net, message):
    with pytest.raises(UserError, match=message):
        build_net()
