"""Dropout against PyTorch's, which draws a number for every value."""

import pytest
import torch
from torch import nn

from cnnkit.layers import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_mean_and_variance_are_those_of_pytorch(p: float) -> None:
    torch.manual_seed(0)
    ones = torch.ones(1000, 1001)
    ours, theirs = Dropout(p)(ones), nn.Dropout(p)(ones)
    error = (p / (1 - p) / ones.numel()) ** 0.5  # standard deviation of the mean
    assert abs(float(ours.mean()) - 1) < 5 * error
    assert float(ours.var()) == pytest.approx(float(theirs.var()), rel=0.02)
    assert ours.unique().tolist() == pytest.approx(theirs.unique().tolist(), rel=1e-3)


def test_neighbors_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(1_000_003)) > 0).double() - 0.5
    for distance in range(1, 9):  # four values share a random number
        assert abs(float((kept[distance:] * kept[:-distance]).mean())) < 0.25 * 5e-3


def test_the_seed_decides_and_each_call_differs() -> None:
    layer, ones = Dropout(0.5), torch.ones(2, 3, 5, 7)
    torch.manual_seed(3)
    first, second = layer(ones), layer(ones)
    torch.manual_seed(3)
    assert torch.equal(layer(ones), first)
    assert not torch.equal(first, second)


def test_the_gradient_passes_where_the_value_did() -> None:
    values = torch.rand(8, 9).add(0.1).requires_grad_()
    out = Dropout(0.25)(values)
    out.sum().backward()
    torch.testing.assert_close(values.grad, out.detach() / values.detach())


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_layout_and_number_format_are_kept(kind: torch.dtype) -> None:
    maps = torch.rand(2, 3, 5, 7).to(kind).to(memory_format=torch.channels_last)
    out = Dropout(0.5)(maps)
    assert out.dtype == kind
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert Dropout(0.5)(torch.rand(6, 4).t()).shape == (4, 6)
    assert Dropout(0.5)(torch.rand(3, 1).expand(3, 4)).shape == (3, 4)
    assert Dropout(0.5)(torch.rand(0, 4)).shape == (0, 4)


def test_nothing_happens_in_evaluation_and_extremes_are_pytorchs() -> None:
    values = torch.rand(5, 5)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(1.0)(values).any()
    with pytest.raises(ValueError, match="probability"):
        Dropout(1.5)
