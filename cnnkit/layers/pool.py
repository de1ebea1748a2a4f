"""Ways to make an image smaller, as functions and as modules: ``(B, C, H, W) -> (B, C, H // size, W // size)``.

Maximum and average pooling are torch's own. Every kind that :func:`make_pool` builds moves its window by its size and
drops a ragged edge, so that a net keeps its shapes, and its head's parameters, when the kind is changed. Where a window
has several largest (or smallest) values, the gradient goes to the first of them, as torch has it.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError

PoolName = Literal["max", "avg", "min", "sum", "subsample", "strided"]


def min_pool2d(
    images: torch.Tensor, size: int, stride: int | None = None, padding: int = 0, dilation: int = 1
) -> torch.Tensor:
    """Take the smallest value of every window. Padding never wins.

    Example:
        >>> min_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """
    return -F.max_pool2d(-images, size, stride, padding, dilation)


def sum_pool2d(
    images: torch.Tensor, size: int, stride: int | None = None, padding: int = 0, dilation: int = 1
) -> torch.Tensor:
    """Add up every window. Padding counts as zero.

    Example:
        >>> sum_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [10.0, 18.0, 42.0, 50.0]
        >>> sum_pool2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2, stride=1, dilation=2).flatten().tolist()
        [20.0, 24.0, 36.0, 40.0]
    """
    if dilation == 1:
        return F.avg_pool2d(images, size, stride, padding, divisor_override=1)
    padded, step, last = F.pad(images, (padding,) * 4), stride or size, dilation * (size - 1)
    height, width = padded.shape[2] - last, padded.shape[3] - last  # places of the window
    taps = [(dilation * row, dilation * column) for row in range(size) for column in range(size)]
    parts = [padded[..., top : top + height : step, left : left + width : step] for top, left in taps]
    return sum(parts[1:], parts[0])


def subsample2d(images: torch.Tensor, size: int, dilation: int = 1) -> torch.Tensor:
    """Keep the first pixel of every whole ``size`` x ``size`` window and forget the others.

    Example:
        >>> subsample2d(torch.arange(16.0).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """
    last = dilation * (size - 1)
    height, width = images.shape[-2:]
    return images[..., : max(height - last, 0) : size, : max(width - last, 0) : size]


class _Pool2d(nn.Module):
    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0, dilation: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride or kernel_size, padding
        self.dilation = dilation

    def extra_repr(self) -> str:
        dilation = f", dilation={self.dilation}" if self.dilation != 1 else ""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}{dilation}"


class MinPool2d(_Pool2d):
    """The smallest value of every window.

    Args:
        kernel_size: side of the window, in pixels.
        stride: pixels between two windows; by default windows side by side.
        padding: pixels added on every side, which never win.
        dilation: pixels from one value of the window to the next.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return min_pool2d(images, self.kernel_size, self.stride, self.padding, self.dilation)


class SumPool2d(_Pool2d):
    """The sum of every window.

    Args:
        kernel_size: side of the window, in pixels.
        stride: pixels between two windows; by default windows side by side.
        padding: zeros added on every side.
        dilation: pixels from one value of the window to the next.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return sum_pool2d(images, self.kernel_size, self.stride, self.padding, self.dilation)


class DilatedAvgPool2d(SumPool2d):
    """The mean of every window, as `torch.nn.AvgPool2d`, which knows no dilation; arguments as `SumPool2d`."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return super().forward(images) / self.kernel_size**2


class Subsample2d(_Pool2d):
    """The first pixel of every window: what is left of pooling when nothing is pooled.

    Args:
        kernel_size: side of the window, in pixels.
        dilation: pixels from one value of the window to the next: it takes more room, and the same pixel is kept.
    """

    def __init__(self, kernel_size: int, dilation: int = 1) -> None:
        super().__init__(kernel_size, dilation=dilation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pool ``(B, C, H, W)``."""
        return subsample2d(images, self.kernel_size, self.dilation)


def make_pool(name: PoolName, size: int, channels: int, dilation: int = 1) -> nn.Module:
    """Build a layer that divides height and width by ``size``, by its name.

    Args:
        name: ``max``, ``avg``, ``min`` or ``sum`` of every window; ``subsample`` keeps one pixel of it; ``strided``
            learns the downsampling: a convolution whose stride is its kernel size (Springenberg et al. 2014,
            arXiv 1412.6806, there with overlapping windows).
        size: side of the window and stride, in pixels.
        channels: channels going in and out; only ``strided`` needs to know.
        dilation: pixels from one value of the window to the next; above 1 windows overlap, and reach
            ``dilation * (size - 1) + 1`` pixels.

    Raises:
        UserError: the name is unknown, or a number is below 1.
    """
    if size < 1 or dilation < 1:
        raise UserError(f"the pooling window has a size of {size} and a dilation of {dilation}; give at least 1 each.")
    kinds: dict[str, Callable[[], nn.Module]] = {
        "max": lambda: nn.MaxPool2d(size, dilation=dilation),
        "avg": lambda: nn.AvgPool2d(size) if dilation == 1 else DilatedAvgPool2d(size, dilation=dilation),
        "min": lambda: MinPool2d(size, dilation=dilation),
        "sum": lambda: SumPool2d(size, dilation=dilation),
        "subsample": lambda: Subsample2d(size, dilation),
        "strided": lambda: nn.Conv2d(channels, channels, size, stride=size, dilation=dilation),
    }
    if name not in kinds:
        raise UserError(f"pooling {name!r} is unknown; choose one of {', '.join(get_args(PoolName))}.")
    return kinds[name]()
