"""The loops against published examples, torch, scipy and our layers."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from small_images import channels, count, few, fits, kernels, paddings, seeds, sides, steps, whole
from torch import nn

from cnnkit.classroom.arithmetic import conv_parameters, dense_parameters
from cnnkit.classroom.convolution import conv1d, conv2d, conv_transpose2d, corr1d, corr2d, corr3d
from cnnkit.classroom.matrix import convolution_matrix
from cnnkit.errors import UserError
from cnnkit.layers import TransposedConvNormAct
from cnnkit.sizes import PaddingMode

small = st.integers(1, 3)


def test_published_correlations() -> None:
    image, kernel = count(3, 3), count(2, 2)
    assert corr2d(image, kernel).tolist() == [[19, 25], [37, 43]]
    assert corr2d(count(4, 4, start=1), count(2, 2, start=1)).tolist() == [[44, 54, 64], [84, 94, 104], [124, 134, 144]]
    padded = [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]
    assert corr2d(image, kernel, padding=1).tolist() == padded
    assert corr2d(image, kernel, padding=1, stride=(3, 2)).tolist() == [[0, 8], [6, 8]]


def test_published_correlations_with_channels() -> None:
    image = torch.stack([count(3, 3), count(3, 3, start=1)])
    kernel = torch.stack([count(2, 2), count(2, 2, start=1)])
    three = corr2d(image, torch.stack([kernel, kernel + 1, kernel + 2]))
    assert three.tolist() == [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]


def test_published_edges() -> None:
    image = torch.ones(6, 8)
    image[:, 2:6] = 0
    assert corr2d(image, torch.tensor([[1.0, -1.0]])).tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6
    assert not corr2d(image.T, torch.tensor([[1.0, -1.0]])).any()  # horizontal edges are not seen


def test_published_transposed_convolutions() -> None:
    image = kernel = count(2, 2)
    assert conv_transpose2d(image, kernel).tolist() == [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
    spread = [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    assert conv_transpose2d(image, kernel, stride=2).tolist() == spread
    assert conv_transpose2d(image, kernel, padding=1).tolist() == [[4]]


@few
@given(seed=seeds, c=channels, o=channels, i=sides, k=kernels, p=paddings, s=steps, d=steps)
def test_correlation_is_the_convolution_of_torch(seed, c, o, i, k, p, s, d) -> None:
    assume(fits(i, k, p, d))
    image, kernel = whole(seed, c, *i), whole(seed + 1, o, c, *k)
    assert torch.equal(corr2d(image, kernel, s, p, d), F.conv2d(image[None], kernel, None, s, p, d)[0])
    assert torch.equal(corr2d(image[0], kernel[0, 0], s, p, d), corr2d(image[:1], kernel[:1, :1], s, p, d)[0])


@few
@given(seed=seeds, i=sides, k=kernels)
def test_convolution_is_that_of_mathematics(seed, i, k) -> None:
    signal = pytest.importorskip("scipy.signal")
    image, kernel = whole(seed, *i), whole(seed + 1, *k)
    full = conv2d(image, kernel, padding=(k[0] - 1, k[1] - 1))
    assert torch.equal(full, torch.from_numpy(signal.convolve2d(image.numpy(), kernel.numpy())))
    assert torch.equal(full, conv2d(kernel, image, padding=(i[0] - 1, i[1] - 1)))
    if fits(i, k, (0, 0)):
        inside = signal.convolve2d(image.numpy(), kernel.numpy(), mode="valid")
        assert torch.equal(conv2d(image, kernel), torch.from_numpy(inside))


def test_convolution_keeps_the_channels_apart_when_it_turns_the_kernel() -> None:
    image, kernel = whole(0, 2, 5, 6), whole(1, 3, 2, 2, 3)
    turned = torch.rot90(kernel, 2, (2, 3))
    assert torch.equal(conv2d(image, kernel, 2, 1, 2), corr2d(image, turned, 2, 1, 2))


@few
@given(seed=seeds, c=channels, o=channels, i=sides, k=kernels, p=paddings, s=steps)
def test_the_transposed_convolution_is_torchs_and_the_gradient_of_the_correlation(seed, c, o, i, k, p, s) -> None:
    assume(fits(i, k, p))
    image = whole(seed, c, *i).requires_grad_()
    kernel = whole(seed + 1, o, c, *k)
    output = corr2d(image, kernel, s, p)
    weights = whole(seed + 2, *output.shape)
    (output * weights).sum().backward()
    spread = [s[n] * (output.shape[1 + n] - 1) + k[n] - 2 * p[n] for n in (0, 1)]
    assume(min(spread) > 0)
    back = conv_transpose2d(weights, kernel, s, p)
    assert torch.equal(back, F.conv_transpose2d(weights[None], kernel, None, s, p)[0])
    assert torch.equal(back, image.grad[:, : spread[0], : spread[1]])  # no window saw what is beyond


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 3), (3, 1)])
def test_the_enlarging_layer_does_what_the_definition_says(kernel: int, stride: int) -> None:
    layer = TransposedConvNormAct(3, 2, kernel, stride, norm="none", activation=None).double()
    image, bias = whole(0, 3, 4, 5), layer[0].bias[:, None, None]
    padding = (kernel - stride) // 2
    torch.testing.assert_close(layer(image[None])[0], conv_transpose2d(image, layer[0].weight, stride, padding) + bias)


def test_numbers_keep_their_type() -> None:
    assert corr2d(count(3, 3), count(2, 2)).dtype == torch.int64
    assert corr2d(count(3, 3), count(2, 2).double()).dtype == torch.float64


@few
@given(
    seed=seeds,
    c=channels,
    o=channels,
    i=st.integers(3, 9),
    k=st.integers(1, 3),
    p=st.integers(0, 2),
    s=st.integers(1, 3),
)
def test_one_direction_is_torchs(seed, c, o, i, k, p, s) -> None:
    signal, kernel = whole(seed, c, i), whole(seed + 1, o, c, k)
    assert torch.equal(corr1d(signal, kernel, s, p), F.conv1d(signal[None], kernel, None, s, p)[0])
    polynomial = np.convolve(signal[0].numpy(), kernel[0, 0].numpy())
    assert conv1d(signal[0], kernel[0, 0], padding=k - 1).tolist() == polynomial.tolist()


def test_the_definition_of_a_convolution_in_one_direction() -> None:
    f, g = [4, 5], [1, 2, 3]  # (f * g)[t] = sum over a of f[a] g[t - a]
    sums = [sum(f[a] * g[t - a] for a in range(2) if 0 <= t - a < 3) for t in range(4)]
    assert conv1d(torch.tensor(g), torch.tensor(f), padding=1).tolist() == sums == [4, 13, 22, 15]
    assert corr1d(torch.tensor(g), torch.tensor(f), padding=1).tolist() == [5, 14, 23, 12]  # not turned


@few
@given(seed=seeds, c=channels, o=channels, p=paddings, s=steps, d=steps)
def test_three_directions_are_torchs(seed, c, o, p, s, d) -> None:
    volume, kernel = whole(seed, c, 4, 5, 7), whole(seed + 1, o, c, 2, 1, 3)
    options = ((s[0], 1, s[1]), (p[0], 0, p[1]), (1, d[0], d[1]))
    assert torch.equal(corr3d(volume, kernel, *options), F.conv3d(volume[None], kernel, None, *options)[0])


def test_a_kernel_over_three_channels_is_three_dimensional() -> None:
    image, kernel = whole(0, 3, 6, 7), whole(1, 3, 2, 2)
    assert torch.equal(corr3d(image, kernel)[0], corr2d(image, kernel[None])[0])  # it fills the depth: one place there
    assert corr2d(torch.zeros(8, 7, 6), torch.zeros(8, 8, 3, 3)).shape == (8, 5, 4)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@few
@given(seed=seeds, c=channels, i=sides, k=kernels, p=paddings, d=steps)
@pytest.mark.parametrize("mode", get_args(PaddingMode))
def test_what_the_padding_adds_is_torchs(mode, seed, c, i, k, p, d) -> None:
    p = (min(p[0], i[0] - 1), min(p[1], i[1] - 1))
    assume(fits(i, k, p, d))
    image, kernel = whole(seed, c, *i), whole(seed + 1, 2, c, *k)
    layer = nn.Conv2d(c, 2, k, 1, p, d, bias=False, padding_mode=mode, dtype=torch.float64)
    layer.weight.data = kernel
    assert torch.equal(corr2d(image, kernel, 1, p, d, mode), layer(image[None])[0])
    if all(d[n] * (k[n] - 1) < 2 * i[n] - 1 for n in (0, 1)):
        same = nn.Conv2d(c, 2, k, padding="same", dilation=d, bias=False, padding_mode=mode, dtype=torch.float64)
        same.weight.data = kernel
        assert torch.equal(corr2d(image, kernel, 1, "same", d, mode), same(image[None])[0])


@few
@given(seed=seeds, c=channels, o=channels, i=sides, k=kernels, p=paddings, s=steps, d=steps)
def test_a_convolution_is_the_product_with_its_matrix(seed, c, o, i, k, p, s, d) -> None:
    assume(fits(i, k, p, d))
    image, kernel = whole(seed, c, *i), whole(seed + 1, o, c, *k)
    matrix, output = convolution_matrix(kernel, i, s, p, d), F.conv2d(image[None], kernel, None, s, p, d)[0]
    assert torch.equal(matrix @ image.flatten(), output.flatten())
    assert torch.equal(matrix.to_sparse() @ image.flatten(), output.flatten())
    upstream = whole(seed + 2, *output.shape)
    back = torch.autograd.functional.vjp(lambda x: F.conv2d(x[None], kernel, None, s, p, d)[0], image, upstream)[1]
    assert torch.equal((matrix.T @ upstream.flatten()).view(image.shape), back)


def test_the_matrix_of_nine_weights_on_sixteen_pixels() -> None:
    kernel, output = count(3, 3, start=1), count(2, 2, start=1)
    matrix, padded = convolution_matrix(kernel, 4), convolution_matrix(kernel, 4, padding=1)
    assert (matrix.shape, padded.shape) == ((4, 16), (16, 16))
    assert (matrix.count_nonzero(), padded.count_nonzero()) == (36, 100)
    assert matrix.unique().tolist() == list(range(10))
    assert torch.equal((matrix.T @ output.flatten()).view(4, 4), conv_transpose2d(output, kernel))
    assert conv_parameters(1, 1, 3) == 10
    assert (dense_parameters(16, 4), dense_parameters(16, 16)) == (68, 272)


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: corr2d(whole(0, 3, 5, 5), whole(0, 2, 2)), r"do not match; give \(H, W\) with \(kh, kw\)"),
    (lambda: corr1d(whole(0, 3, 5, 5), whole(0, 2)), r"do not match; give \(L\) with \(k\), or \(C, L\)"),
    (lambda: corr3d(whole(0, 5, 5), whole(0, 2, 2)), r"do not match; give \(D, H, W\) with"),
    (
        lambda: corr2d(whole(0, 2, 2), whole(0, 2, 2), padding=2, mode="reflect"),
        "padding 2 is too much for reflect of 2",
    ),
    (lambda: corr2d(whole(0, 2, 2), whole(0, 2, 2), mode="mirror"), "padding_mode 'mirror' is unknown"),
    (lambda: convolution_matrix(whole(0, 3), 4), r"the kernel has shape \(3,\)"),
    (lambda: corr2d(whole(0, 3, 5, 5), whole(0, 2, 1, 2, 2)), "differ in channels: 3 and 1"),
    (lambda: conv_transpose2d(whole(0, 3, 5, 5), whole(0, 1, 3, 2, 2)), "differ in channels: 3 and 1"),
    (lambda: corr2d(whole(0, 2, 2), whole(0, 3, 3)), "a window of 3 pixels does not fit into 2"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        mistake()
