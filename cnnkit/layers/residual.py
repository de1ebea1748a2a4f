"""Residual blocks: what a few layers add to their input is easier to learn than what they make of it.

He et al. 2015, arXiv 1512.03385 (basic, bottleneck, shortcuts A and B) and 2016, arXiv 1603.05027 (pre-activation).
Parameters are named as in torchvision and the usual CIFAR implementations, so that their weights can be read.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.layers.activation import ActivationName, get_activation
from cnnkit.layers.drop_path import DropPath
from cnnkit.layers.norm import NormName, make_norm
from cnnkit.layers.squeeze_excite import SqueezeExcite

ShortcutName = Literal["A", "B"]


def pad_shortcut(maps: torch.Tensor, out_channels: int, stride: int) -> torch.Tensor:
    """Shortcut A: every ``stride``-th pixel, with channels of zeros on both sides; it has no parameters.

    Example:
        >>> pad_shortcut(torch.ones(1, 2, 4, 4), 4, 2)[0, :, 0, 0].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    missing = out_channels - maps.shape[1]
    return F.pad(maps[..., ::stride, ::stride], (0, 0, 0, 0, missing // 2, missing - missing // 2))


class PadShortcut(nn.Module):
    """Shortcut A as a module, see :func:`pad_shortcut`."""

    def __init__(self, out_channels: int, stride: int) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to ``(B, out_channels, H / stride, W / stride)``."""
        return pad_shortcut(maps, self.out_channels, self.stride)


def make_shortcut(
    name: ShortcutName, in_channels: int, out_channels: int, stride: int, norm: NormName = "batch"
) -> nn.Module:
    """Build the skip connection: the identity where shapes allow it, else zeros (A) or a 1x1 convolution (B)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if name == "A":
        return PadShortcut(out_channels, stride)
    projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return projection if norm == "none" else nn.Sequential(projection, make_norm(norm, out_channels))


def _conv(in_channels: int, out_channels: int, kernel_size: int, stride: int, norm: NormName) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=norm != "batch")


class _Block(nn.Module):
    expansion = 1  # channels going out, for each of `channels`
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
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.shortcut: nn.Module | None = None
        if residual:
            around: NormName = "none" if type(self) is PreActBlock else norm
            self.shortcut = make_shortcut(shortcut, in_channels, out_channels, stride, around)

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        raise NotImplementedError

    def _branch(self, maps: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, channels * expansion, H / stride, W / stride)``."""
        branch = self.squeeze_excite(self._branch(maps))
        if self.shortcut is None:
            return self.activate(branch)
        return self.activate(self.shortcut(maps) + self.drop_path(branch))


class BasicBlock(_Block):
    """Two 3x3 convolutions and a skip connection.

    Args:
        in_channels: channels going in.
        channels: filters of both convolutions.
        stride: of the first convolution.
        residual: false leaves out the skip connection: the block of the matching plain net.
        shortcut: where shapes change, ``A`` pads with zeros, ``B`` projects with a 1x1 convolution.
        drop_path: probability of leaving the branch out in training.
        squeeze_excite: weigh the channels of the branch.
        norm: normalization after each convolution, which has a bias where this is not batch norm.
        activation: activation function.
    """

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        self.conv1 = _conv(in_channels, channels, 3, stride, norm)
        self.bn1 = make_norm(norm, channels)
        self.conv2 = _conv(channels, channels, 3, 1, norm)
        self.bn2 = make_norm(norm, channels)

    def _branch(self, maps: torch.Tensor) -> torch.Tensor:
        maps = self.activate(self.bn1(self.conv1(maps)))
        return self.bn2(self.conv2(maps))  # type: ignore[no-any-return]


class Bottleneck(_Block):
    """A 1x1 convolution to fewer channels, a 3x3 convolution there, and a 1x1 convolution to four times as many.

    Args:
        in_channels: channels going in.
        channels: filters of the first two convolutions; four times as many go out.
        stride: of the 3x3 convolution.
        residual: false leaves out the skip connection: the block of the matching plain net.
        shortcut: where shapes change, ``A`` pads with zeros, ``B`` projects with a 1x1 convolution.
        drop_path: probability of leaving the branch out in training.
        squeeze_excite: weigh the channels of the branch.
        norm: normalization after each convolution, which has a bias where this is not batch norm.
        activation: activation function.
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


class PreActBlock(_Block):
    """Normalization and activation before each 3x3 convolution: nothing but sums on the skip connection.

    Args:
        in_channels: channels going in.
        channels: filters of both convolutions.
        stride: of the first convolution.
        residual: false leaves out the skip connection: the block of the matching plain net.
        shortcut: where shapes change, ``A`` pads with zeros, ``B`` projects the activated maps with a 1x1 convolution.
        drop_path: probability of leaving the branch out in training.
        squeeze_excite: weigh the channels of the branch.
        norm: normalization before each convolution, which has a bias where this is not batch norm.
        activation: activation function.
    """

    def _build(self, in_channels: int, channels: int, stride: int, norm: NormName) -> None:
        self.bn1 = make_norm(norm, in_channels)
        self.conv1 = _conv(in_channels, channels, 3, stride, norm)
        self.bn2 = make_norm(norm, channels)
        self.conv2 = _conv(channels, channels, 3, 1, norm)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, channels, H / stride, W / stride)``, not yet activated."""
        active = self.activate(self.bn1(maps))
        branch = self.squeeze_excite(self.conv2(self.activate(self.bn2(self.conv1(active)))))
        if self.shortcut is None:
            return branch  # type: ignore[no-any-return]
        # Section 5 of the paper: where a projection is needed, it takes the activated maps.
        around = active if isinstance(self.shortcut, nn.Conv2d) else maps
        return self.shortcut(around) + self.drop_path(branch)  # type: ignore[no-any-return]
