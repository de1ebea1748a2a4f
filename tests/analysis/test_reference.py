"""The loops against published examples, torch, scipy and our layers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnnkit.analysis.reference import conv2d, conv_transpose2d, corr2d, pool2d
from cnnkit.errors import UserError
from cnnkit.layers import MinPool2d, Subsample2d, SumPool2d, TransposedConvNormAct, make_pool

# Whole numbers: sums are exact in any order, so the results must be equal, not close.
seeds, channels = st.integers(0, 99), st.integers(1, 3)
sides = st.tuples(st.integers(2, 7), st.integers(2, 7))
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 2), st.integers(0, 2))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))
few = settings(deadline=None, max_examples=40)


def whole(seed: int, *shape: int) -> Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(seed)).double()


def count(*shape: int, start: int = 0) -> Tensor:
    return torch.arange(start, start + torch.Size(shape).numel()).view(shape)


def fits(i: tuple[int, int], k: tuple[int, int], p: tuple[int, int], d: tuple[int, int] = (1, 1)) -> bool:
    return all(i[n] + 2 * p[n] > d[n] * (k[n] - 1) for n in (0, 1))


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


def test_published_poolings() -> None:
    nine, sixteen = count(3, 3), count(4, 4)
    assert pool2d(nine, 2, stride=1).tolist() == [[4, 5], [7, 8]]
    assert pool2d(nine, 2, stride=1, kind="mean").tolist() == [[2, 3], [5, 6]]
    assert pool2d(sixteen, 3).tolist() == [[10]]
    assert pool2d(sixteen, 3, stride=2, padding=1).tolist() == [[5, 7], [13, 15]]
    assert pool2d(sixteen, (2, 3), stride=(2, 3), padding=(0, 1)).tolist() == [[5, 7], [13, 15]]


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


@few
@given(seed=seeds, c=channels, i=sides, k=kernels, p=paddings, s=steps)
def test_poolings_are_those_of_torch(seed, c, i, k, p, s) -> None:
    p = (min(p[0], k[0] // 2), min(p[1], k[1] // 2))  # torch allows no more
    assume(fits(i, k, p))
    image = whole(seed, c, *i)
    assert torch.equal(pool2d(image, k, s, p), F.max_pool2d(image, k, s, p))
    assert torch.equal(pool2d(image, k, s, p, kind="min"), -F.max_pool2d(-image, k, s, p))
    for counted in (True, False):
        expected = F.avg_pool2d(image, k, s, p, count_include_pad=counted)
        torch.testing.assert_close(pool2d(image, k, s, p, kind="mean", count_padding=counted), expected)
    assert torch.equal(pool2d(image, k, s, p, kind="sum"), F.avg_pool2d(image, k, s, p, divisor_override=1))


@few
@given(seed=seeds, c=channels, i=sides, k=kernels, s=steps)
def test_subsampling_keeps_the_first_pixel_of_every_whole_window(seed, c, i, k, s) -> None:
    assume(fits(i, k, (0, 0)))
    image = whole(seed, c, *i)
    kept = image[:, : i[0] - k[0] + 1 : s[0], : i[1] - k[1] + 1 : s[1]]
    assert torch.equal(pool2d(image, k, s, kind="subsampling"), kept)


def test_padding_never_wins_and_is_never_the_pixel_that_is_kept() -> None:
    image = count(2, 2, start=1)
    assert pool2d(-image, 2, padding=1).tolist() == [[-1, -2], [-3, -4]]
    for kind in ("max", "min", "subsampling"):
        assert pool2d(image, 2, padding=1, kind=kind).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("layer", "size", "options"),
    [
        (make_pool("max", 2, 3), 2, {}),
        (make_pool("avg", 3, 3), 3, {"kind": "mean"}),
        (MinPool2d(3, 2, 1), 3, {"stride": 2, "padding": 1, "kind": "min"}),
        (SumPool2d(3, 1, 1), 3, {"stride": 1, "padding": 1, "kind": "sum"}),
        (Subsample2d(2), 2, {"kind": "subsampling"}),
        (
            nn.AvgPool2d(3, 2, 1, count_include_pad=False),
            3,
            {"stride": 2, "padding": 1, "kind": "mean", "count_padding": False},
        ),
    ],
    ids=["max", "avg", "min", "sum", "subsample", "avg without padding"],
)
def test_pooling_layers_do_what_the_definition_says(layer: nn.Module, size: int, options: dict) -> None:
    images = whole(0, 2, 3, 7, 8)
    torch.testing.assert_close(layer(images), torch.stack([pool2d(image, size, **options) for image in images]))


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 3), (3, 1)])
def test_the_enlarging_layer_does_what_the_definition_says(kernel: int, stride: int) -> None:
    layer = TransposedConvNormAct(3, 2, kernel, stride, norm="none", activation=None).double()
    image, bias = whole(0, 3, 4, 5), layer[0].bias[:, None, None]
    padding = (kernel - stride) // 2
    torch.testing.assert_close(layer(image[None])[0], conv_transpose2d(image, layer[0].weight, stride, padding) + bias)


def test_numbers_keep_their_type() -> None:
    assert corr2d(count(3, 3), count(2, 2)).dtype == pool2d(count(4, 4), 2, kind="sum").dtype == torch.int64
    assert corr2d(count(3, 3), count(2, 2).double()).dtype == torch.float64
    assert pool2d(count(4, 4), 2, kind="mean").dtype == torch.float32


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: corr2d(whole(0, 3, 5, 5), whole(0, 2, 2)), r"do not go together; give \(H, W\) with \(kh, kw\)"),
    (lambda: corr2d(whole(0, 3, 5, 5), whole(0, 2, 1, 2, 2)), "differ in channels: 3 and 1"),
    (lambda: conv_transpose2d(whole(0, 3, 5, 5), whole(0, 1, 3, 2, 2)), "differ in channels: 3 and 1"),
    (lambda: corr2d(whole(0, 2, 2), whole(0, 3, 3)), "a window of 3 pixels does not fit into 2"),
    (lambda: pool2d(whole(0, 5, 5), 2, padding=2), "padding 2 holds a whole window of 2"),
    (lambda: pool2d(whole(0, 5, 5), 2, kind="median"), "'median' is unknown; choose one of max, min, sum, mean"),  # type: ignore[arg-type]
    (lambda: pool2d(whole(0, 1, 3, 5, 5), 2), r"shape \(1, 3, 5, 5\); give \(H, W\) or \(C, H, W\)"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        mistake()
