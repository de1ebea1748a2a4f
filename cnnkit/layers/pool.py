"""Pooling, as modules that map ``(B, C, H, W)`` to ``(B, C, H // size, W // size)``.

Maximum and average pooling are torch's. Every kind that :func:`make_pool` builds moves its window by its size and drops
an incomplete window at the border. So all kinds give the same shapes, and a net's head has the same parameters. Where a
window has several largest (or smallest) values, the first one gets the gradient, as in torch.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError

PoolName = Literal["max", "avg", "min", "sum", "subsample", "strided"]


class WindowPool2d(nn.Module):
    """Base of the poolings that torch does not have; a subclass computes one value for every window.

    Args:
        kernel_size: side of the window, in pixels.
        stride: pixels from one window to the next; by default the side of the window.
        padding: pixels added on every side.
        dilation: pixels from one value of the window to the next.
    """

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0, dilation: int = 1) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride or kernel_size, padding
        self.dilation = dilation

    def extra_repr(self) -> str:
        dilation = f", dilation={self.dilation}" if self.dilation != 1 else ""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}{dilation}"


class MinPool2d(WindowPool2d):
    """The smallest value of every window, never the padding.

    Example:
        >>> MinPool2d(2)(torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -F.max_pool2d(-images, self.kernel_size, self.stride, self.padding, self.dilation)


class SumPool2d(WindowPool2d):
    """The sum of every window; the padding is zeros.

    Example:
        >>> SumPool2d(2)(torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [10.0, 18.0, 42.0, 50.0]
        >>> SumPool2d(2, stride=1, dilation=2)(torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [20.0, 24.0, 36.0, 40.0]
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size, dilation = self.kernel_size, self.dilation
        if dilation == 1:
            # Not divisor_override, which ONNX has not, and its exporter drops in silence.
            return F.avg_pool2d(images, size, self.stride, self.padding) * size**2
        padded, last = F.pad(images, (self.padding,) * 4), dilation * (size - 1)
        height, width = padded.shape[2] - last, padded.shape[3] - last  # places of the window
        taps = [(dilation * row, dilation * column) for row in range(size) for column in range(size)]
        parts = [padded[..., top : top + height : self.stride, left : left + width : self.stride] for top, left in taps]
        return sum(parts[1:], parts[0])


class DilatedAvgPool2d(SumPool2d):
    """The mean of every window; `torch.nn.AvgPool2d` has no dilation."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) / self.kernel_size**2


class Subsample2d(WindowPool2d):
    """The first pixel of every window.

    Args:
        kernel_size: side of the window, in pixels.
        dilation: pixels from one value of the window to the next; the window is larger, and the same pixel is kept.

    Example:
        >>> Subsample2d(2)(torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist()
        [0.0, 2.0, 8.0, 10.0]
    """

    def __init__(self, kernel_size: int, dilation: int = 1) -> None:
        super().__init__(kernel_size, dilation=dilation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        last = self.dilation * (self.kernel_size - 1)
        height, width = (max(pixels - last, 0) for pixels in images.shape[-2:])
        return images[..., : height : self.stride, : width : self.stride]


def make_pool(name: PoolName, size: int, channels: int, dilation: int = 1) -> nn.Module:
    """Build a layer that divides height and width by ``size``, by its name.

    Args:
        name: ``max``, ``avg``, ``min`` or ``sum`` of every window; ``subsample`` keeps the first pixel of it;
            ``strided`` learns to reduce the size: a convolution whose stride is its kernel size (Springenberg et al.
            2014, arXiv 1412.6806, there with overlapping windows).
        size: side of the window and stride, in pixels.
        channels: channels of input and output; only ``strided`` uses them.
        dilation: pixels from one value of the window to the next; above 1 windows overlap, and span
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
