"""Pooling by its definition, and its derivative by hand, against torch, finite differences and our layers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from small_images import channels, count, few, fits, kernels, paddings, seeds, sides, steps, whole
from torch import nn

from cnnkit.classroom.convolution import conv_transpose2d
from cnnkit.classroom.pooling import differentiate_numerically, pool2d, pool2d_gradient
from cnnkit.errors import UserError
from cnnkit.layers import MinPool2d, Subsample2d, SumPool2d, make_pool

KINDS = ("max", "min", "sum", "mean", "subsampling")


def test_published_poolings() -> None:
    nine, sixteen = count(3, 3), count(4, 4)
    assert pool2d(nine, 2, stride=1).tolist() == [[4, 5], [7, 8]]
    assert pool2d(nine, 2, stride=1, kind="mean").tolist() == [[2, 3], [5, 6]]
    assert pool2d(sixteen, 3).tolist() == [[10]]
    assert pool2d(sixteen, 3, stride=2, padding=1).tolist() == [[5, 7], [13, 15]]
    assert pool2d(sixteen, (2, 3), stride=(2, 3), padding=(0, 1)).tolist() == [[5, 7], [13, 15]]


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


@few
@given(seed=seeds, c=channels, i=sides, k=kernels, p=paddings, s=steps, d=steps)
def test_dilated_poolings_are_those_of_torch(seed, c, i, k, p, s, d) -> None:
    p = (min(p[0], k[0] // 2), min(p[1], k[1] // 2))
    assume(fits(i, k, p, d))
    image = whole(seed, c, *i)
    expected = F.max_pool2d(image, k, s, p, d)
    if expected.isinf().any():  # a window that sees nothing: torch gives -inf
        with pytest.raises(UserError, match="contains a whole window"):
            pool2d(image, k, s, p, dilation=d)
        return
    assert torch.equal(pool2d(image, k, s, p, dilation=d), expected)


@few
@given(
    seed=seeds,
    i=sides,
    k=kernels,
    p=paddings,
    s=steps,
    d=steps,
    kind=st.sampled_from(KINDS),
    n=st.sampled_from((2, 99)),
)
def test_the_derivative_by_hand_is_that_of_autograd_and_of_torch(seed, i, k, p, s, d, kind, n) -> None:
    p = (min(p[0], k[0] // 2), min(p[1], k[1] // 2))
    assume(fits(i, k, p, d))
    image = (whole(seed, 2, *i) % n).requires_grad_()  # of few values: many ties
    try:
        pooled = pool2d(image, k, s, p, kind, dilation=d)
    except UserError:
        assume(False)
    upstream = whole(seed + 1, *pooled.shape)
    by_hand = pool2d_gradient(image.detach(), upstream, k, s, p, kind, dilation=d)
    torch.testing.assert_close(torch.autograd.grad(pooled, image, upstream)[0], by_hand)
    if kind in ("max", "min"):
        sign = 1 if kind == "max" else -1
        theirs = sign * F.max_pool2d(sign * image, k, s, p, d)
        assert torch.equal(torch.autograd.grad(theirs, image, upstream)[0], by_hand)
    if kind == "mean" and d == (1, 1):
        theirs = F.avg_pool2d(image, k, s, p)
        torch.testing.assert_close(torch.autograd.grad(theirs, image, upstream)[0], by_hand)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 1, 1), ((2, 3), (1, 2), (1, 0))])
def test_the_derivative_by_hand_is_that_of_finite_differences(kind, size, stride, padding) -> None:
    image = torch.randperm(42, generator=torch.Generator().manual_seed(0)).double().view(6, 7)  # no ties
    upstream = whole(1, *pool2d(image, size, stride, padding).shape)
    numeric = differentiate_numerically(lambda x: pool2d(x, size, stride, padding, kind), image, upstream)
    torch.testing.assert_close(pool2d_gradient(image, upstream, size, stride, padding, kind), numeric)


def test_of_equal_values_the_first_gets_all_of_the_gradient() -> None:
    image, one = torch.ones(2, 2, requires_grad=True), torch.ones(1, 1)
    (first,) = torch.autograd.grad(F.max_pool2d(image[None], 2).sum(), image)
    assert pool2d_gradient(image.detach(), one, 2).tolist() == first.tolist() == [[1, 0], [0, 0]]
    pool2d(image, 2).sum().backward()
    assert image.grad.tolist() == [[1, 0], [0, 0]]


def test_finite_differences_give_half_to_each_of_equal_values() -> None:
    ties = torch.tensor([[4.0, 4], [1, 0]]).double()
    assert differentiate_numerically(lambda x: pool2d(x, 2), ties, torch.ones(1, 1)).tolist() == [
        [pytest.approx(0.5), pytest.approx(0.5)],
        [0, 0],
    ]


def test_the_derivative_of_the_strided_convolution_is_the_transposed_one() -> None:
    layer, image = make_pool("strided", 2, 3).double(), whole(0, 3, 6, 6).requires_grad_()
    upstream = whole(1, 3, 3, 3)
    (gradient,) = torch.autograd.grad(layer(image[None])[0], image, upstream)
    torch.testing.assert_close(gradient, conv_transpose2d(upstream, layer.weight.detach(), stride=2))


@pytest.mark.parametrize("name", ["max", "avg", "min", "sum", "subsample"])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_dilated_layers_do_what_the_definition_says(name: str, dilation: int) -> None:
    images, kind = whole(0, 2, 3, 9, 8), {"avg": "mean", "subsample": "subsampling"}.get(name, name)
    expected = torch.stack([pool2d(image, 2, kind=kind, dilation=dilation) for image in images])
    torch.testing.assert_close(make_pool(name, 2, 3, dilation)(images), expected)
    assert make_pool("strided", 2, 3, dilation).double()(images).shape == expected.shape


def test_numbers_keep_their_type() -> None:
    assert pool2d(count(4, 4), 2, kind="sum").dtype == pool2d(count(4, 4), 2).dtype == torch.int64
    assert pool2d(count(4, 4), 2, kind="mean").dtype == torch.float32


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: pool2d(whole(0, 5, 5), 2, padding=2), "padding 2 contains a whole window of 2"),
    (lambda: pool2d(whole(0, 5, 5), 2, kind="median"), "'median' is unknown; choose one of max, min, sum, mean"),
    (lambda: pool2d(whole(0, 1, 3, 5, 5), 2), r"shape \(1, 3, 5, 5\); give \(H, W\) or \(C, H, W\)"),
    (lambda: pool2d_gradient(whole(0, 4, 4), whole(0, 3, 3), 2), r"upstream has shape \(1, 3, 3\); .* \(1, 2, 2\)"),
    (lambda: make_pool("max", 2, 3, dilation=0), "a dilation of 0; give at least 1"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        mistake()
