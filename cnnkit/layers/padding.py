"""What stands around an image while a window slides over it: how much of it, and which values.

The words are those of `torch.nn.Conv2d`; what torch would refuse later is refused here, with a remedy.
"""

from typing import Literal, get_args

from torch import nn

from cnnkit.errors import UserError

Padding = int | Literal["same", "valid"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def make_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: PaddingMode = "zeros",
) -> nn.Conv2d:
    """Build a convolution: ``(B, in_channels, H, W) -> (B, out_channels, H', W')``.

    Args:
        in_channels: channels of the input.
        out_channels: filters.
        kernel_size: side of the filters, in pixels.
        stride: pixels between two positions of the filters.
        padding: pixels added on every side; ``same`` keeps the image size at stride 1 (an even kernel gets the odd
            pixel at the bottom and right), ``valid`` adds none.
        dilation: pixels from one filter weight to the next.
        groups: groups of channels convolved apart.
        bias: one more parameter for each filter.
        padding_mode: what is added: ``zeros``, the image mirrored (``reflect``), its edge repeated (``replicate``), or
            its opposite side (``circular``).

    Raises:
        UserError: an argument is out of range, or ``same`` comes with a stride.

    Example:
        >>> import torch
        >>> make_conv(1, 8, 4, padding="same")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 8, 28, 28])
    """
    check_padding(padding, stride, padding_mode)
    for name, number in {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "groups": groups}.items():
        if number < 1:
            raise UserError(f"{name} is {number}; give at least 1.")
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode=padding_mode
    )


def check_padding(padding: object, stride: object = 1, padding_mode: str = "zeros") -> None:
    """Check a padding before a layer is built from it.

    Args:
        padding: a number of pixels, one for each side, or a word.
        stride: a number of pixels, or one for each direction.
        padding_mode: a word.

    Raises:
        UserError: padding or mode is unknown, or ``same`` comes with a stride above 1.
    """
    if padding_mode not in get_args(PaddingMode):
        raise UserError(f"padding_mode {padding_mode!r} is unknown; choose one of {', '.join(get_args(PaddingMode))}.")
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise UserError(f"padding {padding!r} is unknown; give a number of pixels, same or valid.")
    pixels = padding if isinstance(padding, (tuple, list)) else (padding,)
    if any(isinstance(n, int) and n < 0 for n in pixels):
        raise UserError(f"padding is {padding}; give 0 or more pixels, same or valid.")
    steps = stride if isinstance(stride, (tuple, list)) else (stride,)
    if padding == "same" and any(step != 1 for step in steps):
        raise UserError(f"padding 'same' keeps the size at stride 1, and stride is {stride}; give a number of pixels.")


def split_same(kernel_size: int, dilation: int = 1) -> tuple[int, int]:
    """Pixels before and after the image that ``same`` adds in one direction; torch puts the odd one after it.

    Example:
        >>> split_same(3), split_same(4), split_same(4, dilation=2)
        ((1, 1), (1, 2), (3, 3))
    """
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2
