"""Builds convolutions; arguments are checked first."""

from torch import nn

from cnnkit.sizes import Padding, PaddingMode, check_at_least, check_padding


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
        groups: groups of channels that are convolved separately.
        bias: one more parameter for each filter.
        padding_mode: values of the padding: ``zeros``, the mirrored image (``reflect``), its repeated edge
            (``replicate``), or its opposite side (``circular``).

    Raises:
        UserError: an argument is out of range, or ``same`` comes with a stride.

    Example:
        >>> import torch
        >>> make_conv(1, 8, 4, padding="same")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 8, 28, 28])
    """
    check_padding(padding, stride, padding_mode)
    check_at_least(1, kernel_size=kernel_size, stride=stride, dilation=dilation, groups=groups)
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode=padding_mode
    )
