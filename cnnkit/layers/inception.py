"""The Inception block of GoogLeNet: filters of several sizes side by side (Szegedy et al. 2014, arXiv 1409.4842).

Figure 2(a) is the naive block, 2(b) the one with 1x1 convolutions that first reduce the channels. Batch norm, which
is younger than the paper (Ioffe & Szegedy 2015), follows every convolution.
"""

import torch
from torch import nn

from cnnkit.layers.conv import ConvNormAct, Pointwise
from cnnkit.layers.norm import NormName


class Inception(nn.Module):
    """Four branches, joined channel by channel: ``(B, in_channels, H, W) -> (B, out_channels, H, W)``.

    Args:
        in_channels: channels of the input.
        out_1x1: filters of the 1x1 branch.
        reduce_3x3: 1x1 filters before the 3x3 convolution.
        out_3x3: filters of the 3x3 convolution.
        reduce_5x5: 1x1 filters before the 5x5 convolution.
        out_5x5: filters of the 5x5 convolution.
        out_pool: 1x1 filters after the pooling.
        reduce: false leaves out the 1x1 convolutions of the three branches: the naive block, whose pooling branch keeps
            all ``in_channels``.
        norm: normalization after every convolution.

    Attributes:
        out_channels: channels of the output, ``out_1x1 + out_3x3 + out_5x5 + out_pool``; naive: ``in_channels`` for the
            last.

    Example:
        >>> sizes = (192, 64, 96, 128, 16, 32, 32)  # block 3a of GoogLeNet
        >>> [sum(p.numel() for p in Inception(*sizes, reduce=r, norm="none").parameters()) for r in (True, False)]
        [163696, 387296]
    """

    def __init__(
        self,
        in_channels: int,
        out_1x1: int,
        reduce_3x3: int,
        out_3x3: int,
        reduce_5x5: int,
        out_5x5: int,
        out_pool: int,
        reduce: bool = True,
        norm: NormName = "batch",
    ) -> None:
        super().__init__()
        self.out_channels = out_1x1 + out_3x3 + out_5x5 + (out_pool if reduce else in_channels)
        pool = nn.MaxPool2d(3, stride=1, padding=1)

        def build_branch(reduced: int, out: int, kernel_size: int) -> nn.Sequential:
            thin = [Pointwise(in_channels, reduced, norm)] if reduce else []
            return nn.Sequential(*thin, ConvNormAct(reduced if reduce else in_channels, out, kernel_size, norm=norm))

        self.branch1 = Pointwise(in_channels, out_1x1, norm)
        self.branch3 = build_branch(reduce_3x3, out_3x3, 3)
        self.branch5 = build_branch(reduce_5x5, out_5x5, 5)
        self.branch_pool = nn.Sequential(pool, *([Pointwise(in_channels, out_pool, norm)] if reduce else []))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        branches = [
            self.branch1(maps),  # (B, out_1x1, H, W)
            self.branch3(maps),  # (B, reduce_3x3, H, W) -> (B, out_3x3, H, W)
            self.branch5(maps),  # (B, reduce_5x5, H, W) -> (B, out_5x5, H, W)
            self.branch_pool(maps),  # (B, in_channels, H, W) -> (B, out_pool, H, W)
        ]
        return torch.cat(branches, dim=1)
