"""Sizes and counts worked out by hand, against the layers of torch and published numbers."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnkit.classroom.arithmetic import conv_macs, conv_parameters, dense_macs, dense_parameters
from cnnkit.errors import UserError
from cnnkit.layers import TransposedConvNormAct
from cnnkit.layers.conv import chain_output_size
from cnnkit.sizes import output_size, transposed_output_size

sides = st.tuples(st.integers(1, 12), st.integers(1, 12))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


def parameters(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


@settings(deadline=None, max_examples=60)
@given(i=sides, k=kernels, p=paddings, s=steps, d=steps)
def test_output_sizes_are_those_of_torch(i, k, p, s, d) -> None:
    layer = nn.Conv2d(1, 1, k, s, p, d)
    try:
        made = tuple(layer(torch.zeros(1, *i)).shape[1:])
    except RuntimeError:  # the kernel does not fit
        with pytest.raises(UserError, match="does not fit"):
            output_size(i, k, p, s, d)
        return
    assert output_size(i, k, p, s, d) == made == chain_output_size("a net", i, layer)
    assert output_size(i[0], k[0], p[0], s[0], d[0]) == made[0]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(deadline=None, max_examples=30)
@given(i=sides, k=kernels, d=steps)
def test_same_keeps_the_size_and_valid_adds_nothing(i, k, d) -> None:
    layer = nn.Conv2d(1, 1, k, padding="same", dilation=d)
    assert output_size(i, k, "same", d=d) == tuple(layer(torch.zeros(1, *i)).shape[1:]) == i
    assume(all(i[n] > d[n] * (k[n] - 1) for n in (0, 1)))
    assert output_size(i, k, "valid", d=d) == output_size(i, k, 0, d=d)


def test_sizes_in_one_and_three_directions_are_those_of_torch() -> None:
    assert output_size((9,), (4,), p=(1,), s=(2,)) == tuple(nn.Conv1d(1, 1, 4, 2, 1)(torch.zeros(1, 9)).shape[1:])
    volume = nn.Conv3d(1, 8, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1))
    assert output_size((4, 6, 7), (1, 2, 3), (0, 1, 1), (1, 2, 1)) == tuple(volume(torch.zeros(1, 4, 6, 7)).shape[1:])
    assert conv_parameters(1, 8, (1, 2, 3)) == parameters(volume)


@settings(deadline=None, max_examples=60)
@given(i=sides, k=kernels, p=paddings, s=steps, d=steps, extra=paddings)
def test_transposed_output_sizes_are_those_of_torch(i, k, p, s, d, extra) -> None:
    layer = nn.ConvTranspose2d(1, 1, k, s, p, extra, dilation=d)
    try:
        made = tuple(layer(torch.zeros(1, *i)).shape[1:])
    except RuntimeError:  # nothing is left, or too much is added
        with pytest.raises(UserError):
            transposed_output_size(i, k, p, s, d, extra)
        return
    assume(min(made) > 0)
    assert transposed_output_size(i, k, p, s, d, extra) == made


@given(i=st.integers(1, 64), k=st.integers(1, 7), p=st.integers(0, 3), s=st.integers(1, 4), d=st.integers(1, 3))
def test_a_transposed_convolution_gives_the_smallest_size_that_the_convolution_maps_back(i, k, p, s, d) -> None:
    assume(s * (i - 1) + d * (k - 1) + 1 - 2 * p > 0)
    large = transposed_output_size(i, k, p, s, d)
    assert output_size(large, k, p, s, d) == output_size(large + s - 1, k, p, s, d) == i
    assert output_size(large + s, k, p, s, d) == i + 1


def test_sizes_of_well_known_nets() -> None:
    lenet = output_size(output_size(output_size(output_size(28, 5, p=2), 2, s=2), 5), 2, s=2)
    assert lenet == 5  # LeNet-5 has 16 maps of 5x5 before its first dense layer
    assert output_size(227, 11, s=4) == 55  # AlexNet
    assert output_size(output_size(224, 7, p=3, s=2), 3, p=1, s=2) == 56  # the stem of ResNet
    assert TransposedConvNormAct(1, 1)(torch.zeros(2, 1, 7, 7)).shape[2] == transposed_output_size(7, 4, p=1, s=2)


def test_the_weight_counts_that_make_the_case_for_convolution() -> None:
    assert dense_parameters(100 * 100, 1000, bias=False) == 10_000_000
    assert conv_parameters(3, 200, 5) == 15_200


def test_parameters_of_the_published_summary_of_a_cnn() -> None:
    rows = [conv_parameters(1, 64, 3), conv_parameters(64, 128, 3), dense_parameters(3200, 200)]
    assert [*rows, dense_parameters(200, 10)] == [640, 73_856, 640_200, 2_010]
    assert sum(rows) + 2_010 == 716_706


@settings(deadline=None, max_examples=40)
@given(groups=st.integers(1, 3), per=st.tuples(st.integers(1, 4), st.integers(1, 4)), k=kernels, bias=st.booleans())
def test_counts_are_those_of_the_layers(groups, per, k, bias) -> None:
    inputs, outputs = groups * per[0], groups * per[1]
    layer = nn.Conv2d(inputs, outputs, k, stride=2, groups=groups, bias=bias)
    assert conv_parameters(inputs, outputs, k, bias, groups) == parameters(layer)
    dense = nn.Linear(inputs, outputs, bias=bias)
    assert dense_parameters(inputs, outputs, bias) == parameters(dense)


@pytest.mark.parametrize(("k", "groups"), [((3, 3), 1), ((1, 5), 2), ((4, 2), 6)])
def test_macs_are_those_of_torchs_flop_counter(k, groups) -> None:
    conv, dense = nn.Conv2d(6, 12, k, stride=2, padding=1, groups=groups), nn.Linear(6, 7)
    with FlopCounterMode(display=False) as flops:
        conv(torch.zeros(1, 6, 9, 8))
        dense(torch.zeros(1, 6))
    macs = conv_macs(6, 12, k, output_size((9, 8), k, p=1, s=2), groups) + dense_macs(6, 7)
    assert 2 * macs == flops.get_total_flops()


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: output_size(4, 7, p=1), "a window of 7 pixels does not fit into 4 with a padding of 1; give at least 5"),
    (lambda: output_size((8, 4), 3, d=2), "a window of 5 pixels does not fit into 4"),
    (lambda: output_size(8, 3, s=0), "s is 0; give at least 1"),
    (lambda: output_size(8, 3, p=-1), "padding is -1; give 0 or more pixels"),
    (lambda: transposed_output_size(1, 2, p=1), "a padding of 1 leaves nothing of 2 pixels"),
    (lambda: transposed_output_size(4, 2, s=2, extra=2), "extra is 2; it must be less than stride 2"),
    (lambda: output_size(28, 3, p="full"), "padding 'full' is unknown; give a number of pixels, same or valid"),  # type: ignore[call-overload]
    (lambda: output_size(28, 3, p="same", s=2), "padding 'same' keeps the size at stride 1, and stride is 2"),
    (lambda: output_size((8, 8), (3, 3, 3)), "(8, 8) has 2 numbers; give one, or one for each of 3 dimensions"),
    (lambda: conv_parameters(3, 8, 3, groups=2), "groups is 2; it must divide both 3 and 8 channels"),
    (lambda: conv_macs(3, 8, 3, 0), "output is 0; give at least 1"),
    (lambda: dense_parameters(0, 10), "inputs is 0; give at least 1"),
]


@pytest.mark.parametrize(("mistake", "expected"), MISTAKES, ids=[expected for _, expected in MISTAKES])
def test_mistakes_are_told_in_a_sentence(mistake: Callable[[], object], expected: str) -> None:
    with pytest.raises(UserError) as told:
        mistake()
    assert expected in str(told.value)
