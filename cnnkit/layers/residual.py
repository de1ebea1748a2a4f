"""Residual blocks: a few layers learn what to add to their input.

He et al. 2015, arXiv 1512.03385 (basic, bottleneck, shortcuts A and B) and 2016, arXiv 1603.05027 (pre-activation).
Parameters are named as in torchvision and the usual CIFAR implementations, so that their weights can be loaded.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.layers.activation import ActivationName, get_activation
from cnnkit.layers.norm import NormName, make_norm

ShortcutName = Literal["A", "B"]


class PadShortcut(nn.Module):
    """Shortcut A: keeps every ``stride``-th pixel and adds channels of zeros on both sides; it has no parameters.

    Example:
        >>> PadShortcut(4, stride=2)(torch.ones(1, 2, 4, 4))[0, :, 0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        missing = self.out_channels - maps.shape[1]
        pads = (0, 0, 0, 0, missing // 2, missing - missing // 2)
        return F.pad(maps[..., :: self.stride, :: self.stride], pads)


def make_shortcut(
    name: ShortcutName, in_channels: int, out_channels: int, stride: int, norm: NormName = "batch"
) -> nn.Module:
    """Build the skip connection: the identity if shapes agree, else padding (A) or a 1x1 convolution (B)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if name == "A":
        return PadShortcut(out_channels, stride)
    projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return projection if norm == "none" else nn.Sequential(projection, make_norm(norm, out_channels))


class SqueezeExcite(nn.Module):
    """Scale every channel by a number from 0 to 1, computed from the means of all (Hu et al. 2017, arXiv 1709.01507).

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


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: NormName) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=norm != "batch")


class ResidualBlock(nn.Module):
    """Base of the blocks: ``(B, in_channels, H, W)`` to ``(B, channels * expansion, H / stride, W / stride)``.

    Args:
        in_channels: channels of the input.
        channels: filters of the 3x3 convolutions.
        stride: stride of the first 3x3 convolution.
        residual: false leaves out the skip connection: the block of the matching plain net.
        shortcut: where shapes change, ``A`` pads with zeros, ``B`` projects with a 1x1 convolution.
        drop_path: probability of leaving out the branch of an image in training (stochastic depth, Huang et al. 2016,
            arXiv 1603.09382).
        squeeze_excite: scale the channels of the branch, see `SqueezeExcite`.
        norm: normalization beside each convolution; a convolution has a bias unless this is batch norm.
        activation: activation function.
    """

    expansion = 1  # output channels for each of `channels`
    layers = 2  # convolutions in a row

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        residual: bool = True,
        shortcut: ShortcutName = "B",
        drop_path: float = 0.0,
        squeeze_excite: bool = False,
        norm: NormName = "batch",
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.activate = get_activation(activation)
        self._build(in_channels, channels, stride, norm)
        self.squeeze_excite = SqueezeExcite(out_channels) if squeeze_excite else nn.Identity()
        self.drop_path: nn.Module = nn.Identity()
        if drop_path:
            from torchvision.ops import StochasticDepth  # here, because it takes a second

            self.drop_path = StochasticDepth(drop_path, "row")
        self.shortcut: nn.Module | None = None
        if residual:
            its_norm: NormName = "none" if type(self) is PreActBlock else norm
            self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride, its_norm)

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        raise NotImplementedError

    def _branch(self, maps: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        branch = self.squeeze_excite(self._branch(maps))
        if self.shortcut is None:
            return self.activate(branch)
        return self.activate(self.shortcut(maps) + self.drop_path(branch))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions and a skip connection; arguments as in `ResidualBlock`."""

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        self.conv1 = _conv(in_channels, channels, 3, stride, norm)
        self.bn1 = make_norm(norm, channels)
        self.conv2 = _conv(channels, channels, 3, 1, norm)
        self.bn2 = make_norm(norm, channels)

    def _branch(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.activate(self.bn1(self.conv1(maps)))
        return self.bn2(self.conv2(maps))  # type: ignore[no-any-return]


class Bottleneck(ResidualBlock):
    """A 1x1 convolution to fewer channels, a 3x3 convolution, and a 1x1 convolution to four times as many channels.

    Arguments as in `ResidualBlock`; the first two convolutions have ``channels`` filters.
    """

    expansion = 4
    layers = 3

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        self.conv1 = _conv(in_channels, channels, 1, 1, norm)
        self.bn1 = make_norm(norm, channels)
        self.conv2 = _conv(channels, channels, 3, stride, norm)
        self.bn2 = make_norm(norm, channels)
        self.conv3 = _conv(channels, channels * self.expansion, 1, 1, norm)
        self.bn3 = make_norm(norm, channels * self.expansion)

    def _branch(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.activate(self.bn1(self.conv1(maps)))
        maps = self.activate(self.bn2(self.conv2(maps)))
        return self.bn3(self.conv3(maps))  # type: ignore[no-any-return]


class PreActBlock(ResidualBlock):
    """Normalization and activation before each 3x3 convolution: the skip connections of a net only add.

    Arguments as in `ResidualBlock`. The output is not yet activated; shortcut ``B`` projects the activated maps.
    """

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        self.bn1 = make_norm(norm, in_channels)
        self.conv1 = _conv(in_channels, channels, 3, stride, norm)
        self.bn2 = make_norm(norm, channels)
        self.conv2 = _conv(channels, channels, 3, 1, norm)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        active = self.activate(self.bn1(maps))
        branch = self.squeeze_excite(self.conv2(self.activate(self.bn2(self.conv1(active)))))
        if self.shortcut is None:
            return branch  # type: ignore[no-any-return]
        # Section 5 of the paper: where a projection is needed, it takes the activated maps.
        skipped = active if isinstance(self.shortcut, nn.Conv2d) else maps
        return self.shortcut(skipped) + self.drop_path(branch)  # type: ignore[no-any-return]
