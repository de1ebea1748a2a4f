"""Squeeze and excitation: a net scales its own channels (Hu et al. 2017, arXiv 1709.01507, figure 3)."""

import torch
from torch import nn


class SqueezeExcite(nn.Module):
    """Scale every channel by a number between 0 and 1, computed from the means of all channels.

    Args:
        channels: channels of the maps.
        reduction: factor by which the hidden layer is smaller; it has at least 8 units.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        means = maps.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        weights: torch.Tensor = self.expand(self.reduce(means).relu()).sigmoid()
        return maps * weights
