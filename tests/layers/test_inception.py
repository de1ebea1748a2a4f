import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnkit.layers import Inception

SIZES = (12, 4, 6, 8, 2, 3, 5)  # in, 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pooling


def maps():
    return torch.randn(2, 12, 7, 9, generator=torch.Generator().manual_seed(0))


def test_the_block_of_the_paper_has_its_published_size():
    block = Inception(
        192, 64, 96, 128, 16, 32, 32, norm="none"
    )  # 3a of table 1: 159K weights, 128M operations at 28x28
    weights = sum(p.numel() for p in block.parameters() if p.ndim == 4)
    assert block.out_channels == 256
    assert weights == 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32 == 163_328
    assert round(weights * 28 * 28 / 1e6) == 128


@pytest.mark.parametrize("reduce", [True, False])
def test_the_output_is_the_four_branches_side_by_side(reduce):
    block, x = Inception(*SIZES, reduce=reduce, norm="none"), maps()
    pooled = F.max_pool2d(x, 3, 1, 1)
    c = [m for m in block.modules() if isinstance(m, nn.Conv2d)]

    def conv(layer, x):
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.kernel_size[0] // 2).relu()

    if reduce:
        expected = [conv(c[0], x), conv(c[2], conv(c[1], x)), conv(c[4], conv(c[3], x)), conv(c[5], pooled)]
        assert [layer.kernel_size[0] for layer in c] == [1, 1, 3, 1, 5, 1]
    else:
        expected = [conv(c[0], x), conv(c[1], x), conv(c[2], x), pooled]
        assert [layer.kernel_size[0] for layer in c] == [1, 3, 5]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))
    assert block(x).shape == (2, block.out_channels, 7, 9)


def test_1x1_convolutions_make_the_block_cheaper():
    thin, naive = (
        sum(p.numel() for p in Inception(192, 64, 96, 128, 16, 32, 32, r).parameters()) for r in (True, False)
    )
    assert naive > 2 * thin
