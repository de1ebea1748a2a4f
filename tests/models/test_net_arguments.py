"""Arguments that no net can have are refused, with the remedy."""

import pytest
import torch

from cnnkit.errors import UserError
from cnnkit.models import CNN, MLP, VGG, AlexNet, GoogLeNet, LeNet5, NetworkInNetwork, ResNet


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
        (lambda: GoogLeNet(auxiliary=False).forward_aux(torch.zeros(1, 3, 32, 32)), "built with auxiliary=False"),
        (lambda: MLP(image_size=0), "image_size is 0"),
        (lambda: MLP(activation="softplus"), "activation 'softplus' is unknown"),
    ],
)
def test_impossible_arguments_are_named_with_the_remedy(build_net, message):
    with pytest.raises(UserError, match=message):
        build_net()
