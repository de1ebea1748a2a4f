"""Ways to make an image smaller, as functions and as modules: ``(B, C, H, W) -> (B, C, H // size, W // size)``.

Maximum and average pooling are torch's own. Every kind that :func:`make_pool` builds takes whole windows side by side
and drops a ragged edge, so that a net keeps its shapes, and its head's parameters, when the kind is changed.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError

PoolName = Literal["max", "avg", "min", "sum", "subsample", "strided"]


def min_pool2d(images: torch.Tensor, size: int, stride: int | None = None, padding: int = 0) -> torch.Tensor:
    """Take the smallest value of every window. Padding never wins.

    Example:
        >>> min_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """
    return -F.max_pool2d(-images, size, stride, padding)


def sum_pool2d(images: torch.Tensor, size: int, stride: int | None = None, padding: int = 0) -> torch.Tensor:
    """Add up every window. Padding counts as zero.

    Example:
        >>> sum_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [10.0, 18.0, 42.0, 50.0]
    """
    return F.avg_pool2d(images, size, stride, padding, divisor_override=1)


def subsample2d(images: torch.Tensor, size: int) -> torch.Tensor:
    """Keep the first pixel of every whole ``size`` x ``size`` window and forget the others.

    Example:
        >>> subsample2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """
    height, width = images.shape[-2:]
    return images[..., : height // size * size : size, : width // size * size : size]


class _Pool2d(nn.Module):
    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride or kernel_size, padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MinPool2d(_Pool2d):
    """The smallest value of every window.

    Args:
        kernel_size: side of the window, in pixels.
        stride: pixels between two windows; by default windows side by side.
        padding: pixels added on every side, which never win.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return min_pool2d(images, self.kernel_size, self.stride, self.padding)


class SumPool2d(_Pool2d):
    """The sum of every window.

    Args:
        kernel_size: side of the window, in pixels.
        stride: pixels between two windows; by default windows side by side.
        padding: zeros added on every side.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return sum_pool2d(images, self.kernel_size, self.stride, self.padding)


class Subsample2d(_Pool2d):
    """The first pixel of every window: what is left of pooling when nothing is pooled.

    Args:
        kernel_size: side of the window, in pixels.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__(kernel_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return subsample2d(images, self.kernel_size)


def make_pool(name: PoolName, size: int, channels: int) -> nn.Module:
    """Build a layer that divides height and width by ``size``, by its name.

    Args:
        name: ``max``, ``avg``, ``min`` or ``sum`` of every window; ``subsample`` keeps one pixel of it; ``strided``
            learns the downsampling: a convolution whose stride is its kernel size (Springenberg et al. 2014,
            arXiv 1412.6806, there with overlapping windows).
        size: side of the window and stride, in pixels.
        channels: channels going in and out; only ``strided`` needs to know.

    Raises:
        UserError: the name is unknown.
    """
    if name == "strided":
        return nn.Conv2d(channels, channels, size, stride=size)
    kinds: dict[str, Callable[[int], nn.Module]] = {
        "max": nn.MaxPool2d,
        "avg": nn.AvgPool2d,
        "min": MinPool2d,
        "sum": SumPool2d,
        "subsample": Subsample2d,
    }
    if name not in kinds:
        raise UserError(f"pooling {name!r} is unknown; choose one of {', '.join(get_args(PoolName))}.")
    return kinds[name](size)
