from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import (
    ActivationName,
    ConvNormAct,
    LocalResponseNorm,
    chain_output_size,
    get_activation,
    make_activation,
    make_norm,
    make_pool,
)


def local_response_norm_by_loops(images, size, alpha, beta, k):
    """The formula of Krizhevsky et al. 2012, section 3.3, channel by channel."""
    channels = images.shape[1]
    normed = torch.empty_like(images)
    for i in range(channels):
        first, last = max(0, i - size // 2), min(channels - 1, i + size // 2)
        energy = sum(images[:, j] ** 2 for j in range(first, last + 1))
        normed[:, i] = images[:, i] / (k + alpha * energy) ** beta
    return normed


@pytest.mark.parametrize(
    "constants", [(5, 1e-4, 0.75, 2.0), (3, 0.5, 0.6, 1.0), (1, 1.0, 1.0, 0.5), (7, 0.1, 0.75, 1.0)]
)
def test_local_response_norm_follows_the_papers_formula(constants):
    images = 3 * torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = local_response_norm_by_loops(images, *constants)
    torch.testing.assert_close(LocalResponseNorm(*constants)(images), expected)
    torch.testing.assert_close(LocalResponseNorm(*constants)(images), expected)
    torch.testing.assert_close(LocalResponseNorm(*constants)(images.to(memory_format=torch.channels_last)), expected)


def test_local_response_norm_has_the_gradient_of_torchs():
    images = torch.randn(2, 6, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(2, 6, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs = (LocalResponseNorm(5, 0.1)(images), F.local_response_norm(images, 5, 0.5, 0.75, 2.0))
    found, expected = (torch.autograd.grad((output * weights).sum(), images)[0] for output in outputs)
    torch.testing.assert_close(found, expected)


def test_local_response_norm_keeps_the_energy_in_bfloat16():
    """2 + 1e-4 * 45 is 2 in bfloat16; a large exponent shows what would be lost, 1.8 %."""
    images = torch.full((1, 5, 1, 1), 3.0)
    normed = LocalResponseNorm(beta=8.0)(images.bfloat16())
    assert normed.dtype == torch.bfloat16
    torch.testing.assert_close(normed.float(), LocalResponseNorm(beta=8.0)(images), rtol=2**-8, atol=0)


def test_make_norm_by_name():
    assert isinstance(make_norm("batch", 8), nn.BatchNorm2d)
    assert make_norm("batch", 8).num_features == 8
    layer = make_norm("local_response", 8)
    assert (layer.size, layer.alpha, layer.beta, layer.k) == (5, 1e-4, 0.75, 2.0)
    images = torch.randn(1, 8, 2, 2)
    assert torch.equal(make_norm("none", 8)(images), images)
    with pytest.raises(UserError, match="'layer' is unknown; choose one of none, batch, local_response"):
        make_norm("layer", 8)


def test_conv_norm_act_leaves_the_bias_out_before_batch_norm_only():
    assert ConvNormAct(3, 8)[0].bias is None
    assert ConvNormAct(3, 8, norm="none")[0].bias is not None
    assert ConvNormAct(3, 8, norm="local_response")[0].bias is not None


def test_conv_norm_act_is_its_three_parts_in_order():
    images = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    block = ConvNormAct(3, 8, kernel_size=5, stride=2, activation="tanh")
    assert block(images).shape == (2, 8, 5, 4)
    torch.testing.assert_close(block(images), torch.tanh(block[1](block[0](images))))
    assert block(images).lt(0).any(), "tanh, not relu"
    assert [type(layer) for layer in ConvNormAct(3, 8, norm="none", activation=None)] == [nn.Conv2d]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_by_default_every_kernel_keeps_the_size(kernel, mode):
    images = torch.randn(1, 3, 28, 11)
    assert ConvNormAct(3, 8, kernel, padding_mode=mode, dilation=2)(images).shape == (1, 8, 28, 11)
    assert ConvNormAct(3, 8, kernel)(images).shape == (1, 8, 28, 11)
    assert ConvNormAct(3, 8, kernel, padding="valid")(images).shape == (1, 8, 29 - kernel, 12 - kernel)


def test_an_unknown_activation_is_named_with_the_choices():
    with pytest.raises(UserError, match="'softplus' is unknown; choose one of relu, leaky_relu"):
        make_activation("softplus")


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, (3, 5), stride=(2, 1), padding=(1, 0)),
        nn.Conv2d(2, 2, 3, dilation=3, padding=2),
        nn.Conv2d(2, 2, 5, padding="same"),
        nn.Conv2d(2, 2, 3, padding="valid"),
        nn.Conv2d(2, 2, 3, padding=2, padding_mode="reflect"),
        nn.Conv2d(2, 2, 4, padding="same", padding_mode="circular"),
        make_pool("sum", 2, 2, dilation=3),
        make_pool("max", 3, 2, dilation=2),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.MaxPool2d(2, stride=2, ceil_mode=True),
        nn.MaxPool2d(2, stride=3, padding=1, ceil_mode=True),
        nn.AvgPool2d(3, stride=2, ceil_mode=True),
        nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Sequential(nn.AvgPool2d(2), nn.BatchNorm2d(4))),
    ],
    ids=str,
)
def test_the_output_size_is_what_torch_computes(layer):
    for size in [(13, 17), (16, 12), (11, 11)]:
        assert chain_output_size("Net", size, layer) == layer(torch.zeros(1, 2, *size)).shape[-2:]


def test_a_kernel_that_does_not_fit_is_named_with_the_smallest_size_that_would():
    chain = nn.Sequential(nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 5))
    with pytest.raises(
        UserError, match=r"image_size 9 is too small for Net: Conv2d \(number 3 .*5x5 kernel for 3x3.*\n.*12x12"
    ):
        chain_output_size("Net", 9, chain)
    assert chain_output_size("Net", 12, chain) == (1, 1)
    with pytest.raises(RuntimeError):
        chain(torch.zeros(1, 1, 11, 11))


@pytest.mark.parametrize("size", [0, -3, (28,), (28, 0), (3, 28, 28)])
def test_an_impossible_image_size_is_refused(size):
    with pytest.raises(UserError, match="image_size is"):
        chain_output_size("Net", size)


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_an_activation_is_the_same_as_module_and_as_function(name):
    values = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(make_activation(name)(values), get_activation(name)(values))
