"""The small pieces: 1x1 convolutions, scaled channels, convolutions that enlarge."""

import pytest
import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import Pointwise, SqueezeExcite, TransposedConvNormAct


def maps(batch: int = 2, channels: int = 8, size: int = 5) -> torch.Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def test_a_pointwise_convolution_is_a_linear_layer_at_every_pixel():
    layer = Pointwise(8, 3, norm="none", activation=None)
    linear = nn.Linear(8, 3)
    linear.weight.data, linear.bias.data = layer[0].weight.data.flatten(1), layer[0].bias.data
    torch.testing.assert_close(layer(maps()), linear(maps().permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def test_squeeze_excite_scales_each_channel_by_a_function_of_the_means():
    layer = SqueezeExcite(8, reduction=4)
    ratio = layer(maps()) / maps()
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    hidden = (maps().mean((2, 3)) @ layer.reduce.weight.flatten(1).T + layer.reduce.bias).relu()
    expected = torch.sigmoid(hidden @ layer.expand.weight.flatten(1).T + layer.expand.bias)
    torch.testing.assert_close(ratio[:, :, 0, 0], expected)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (4, 2), (3, 3), (3, 1), (6, 2)])
def test_a_transposed_convolution_enlarges_by_its_stride(kernel, stride):
    layer = TransposedConvNormAct(8, 3, kernel, stride)
    assert layer(maps()).shape == (2, 3, 5 * stride, 5 * stride)


def test_a_transposed_convolution_is_the_gradient_of_the_convolution():
    layer = TransposedConvNormAct(8, 3, 4, 2, norm="none", activation=None)
    nn.init.zeros_(layer[0].bias)
    images = torch.zeros(2, 3, 10, 10, requires_grad=True)
    (nn.functional.conv2d(images, layer[0].weight, stride=2, padding=1) * maps()).sum().backward()
    torch.testing.assert_close(layer(maps()), images.grad)


def test_a_kernel_that_cannot_enlarge_exactly_is_refused():
    with pytest.raises(UserError, match="kernel_size 3 and stride 2"):
        TransposedConvNormAct(8, 3, 3, 2)
