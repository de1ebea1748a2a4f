"""Convolution, normalization and activation as one layer; initial weights; the image size after a chain of layers."""

from typing import Any

from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers.activation import ActivationName, make_activation
from cnnkit.layers.norm import NormName, make_norm
from cnnkit.sizes import (
    ImageSize,
    Padding,
    PaddingMode,
    as_height_width,
    as_pair,
    check_at_least,
    check_padding,
    count_places,
    split_same,
)


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
    """Build a `torch.nn.Conv2d`, but check its arguments first.

    Raises:
        UserError: an argument is out of range, or padding ``same`` comes with a stride.
    """
    check_padding(padding, stride, padding_mode)
    check_at_least(1, kernel_size=kernel_size, stride=stride, dilation=dilation, groups=groups)
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode=padding_mode
    )


class ConvNormAct(nn.Sequential):
    """Convolution, normalization, activation: ``(B, in_channels, H, W) -> (B, out_channels, H', W')``.

    Args:
        in_channels: channels of the input.
        out_channels: filters of the convolution.
        kernel_size: side of the filters, in pixels.
        stride: pixels between two positions of the filters.
        padding: pixels added on every side; ``same`` keeps the image size at stride 1 (an even kernel gets the odd
            pixel at the bottom and right), ``valid`` adds none. By default the image size stays the same at stride 1.
        groups: groups of channels that are convolved separately; ``in_channels`` gives a depthwise convolution.
        norm: normalization between convolution and activation.
        activation: activation function at the end; None for a linear output.
        dilation: pixels from one filter weight to the next.
        bias: whether filters have a bias; by default they have one unless batch norm follows, which would subtract it
            (Ioffe & Szegedy 2015, section 3.2).
        padding_mode: values of the padding: ``zeros``, the mirrored image (``reflect``), its repeated edge
            (``replicate``), or its opposite side (``circular``).

    Raises:
        UserError: an argument is out of range.

    Example:
        >>> import torch
        >>> [ConvNormAct(1, 8, k)(torch.zeros(1, 1, 28, 28)).shape[-1] for k in (2, 3, 4, 5)]
        [28, 28, 28, 28]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: Padding | None = None,
        groups: int = 1,
        norm: NormName = "batch",
        activation: ActivationName | None = "relu",
        dilation: int = 1,
        bias: bool | None = None,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        bias = norm != "batch" if bias is None else bias
        if padding is None:
            total = dilation * (kernel_size - 1)
            padding = "same" if total % 2 and stride == 1 else total // 2
        conv = make_conv(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        super().__init__(conv, *_norm_and_activation(out_channels, norm, activation))


def _norm_and_activation(channels: int, norm: NormName, activation: ActivationName | None) -> list[nn.Module]:
    stages: list[nn.Module] = [] if norm == "none" else [make_norm(norm, channels)]
    return stages if activation is None else [*stages, make_activation(activation)]


class Pointwise(ConvNormAct):
    """Convolution with 1x1 filters: a linear layer over the channels, applied at every pixel (Lin et al. 2013).

    Arguments as in `ConvNormAct`; fewer ``out_channels`` than ``in_channels`` make it a bottleneck.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: NormName = "batch",
        activation: ActivationName | None = "relu",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, norm=norm, activation=activation)


class TransposedConvNormAct(nn.Sequential):
    """Transposed convolution, normalization, activation: ``(B, in_channels, H, W) -> (B, out, stride H, stride W)``.

    Zeiler et al. 2010; Dumoulin & Visin 2016, arXiv 1603.07285, chapter 4. A kernel that is a multiple of the stride
    covers all pixels equally often; others leave a checkerboard pattern (Odena et al. 2016, doi
    10.23915/distill.00003).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the filters, in pixels; at least the stride, and both even or both odd.
        stride: factor by which the image becomes larger.
        norm: as in `ConvNormAct`.
        activation: as in `ConvNormAct`.

    Raises:
        UserError: no padding makes the output exactly ``stride`` times as large.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 4,
        stride: int = 2,
        norm: NormName = "batch",
        activation: ActivationName | None = "relu",
    ) -> None:
        padding, odd = divmod(kernel_size - stride, 2)
        if padding < 0 or odd:
            raise UserError(f"kernel_size {kernel_size} and stride {stride}: give both even or both odd, kernel first.")
        conv = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride, padding, bias=norm != "batch")
        super().__init__(conv, *_norm_and_activation(out_channels, norm, activation))


def init_he(*modules: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers from N(0, 2 / fan-in), and set their biases to zero.

    He et al. 2015, arXiv 1502.01852, for nets without shortcuts. With ReLU, the mean square of the activations then
    stays the same from layer to layer. torch's default reduces it to a sixth at every layer, so that a deep net without
    normalization does not train.

    Args:
        modules: modules, with all their children.
    """
    for layer in (layer for module in modules for layer in module.modules()):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def chain_output_size(net: str, image_size: ImageSize, *chain: nn.Module) -> tuple[int, int]:
    """Compute the (height, width) of an image after modules that run one after another.

    Every convolution or pooling maps n pixels to floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1;
    other modules keep the size. Nothing is computed on images, so the cost does not depend on the size.

    Args:
        net: the net's name, for the message.
        image_size: pixels, one number or (height, width).
        chain: modules in the order in which they run; their children are visited in order of definition.

    Raises:
        UserError: a kernel does not fit into its input.

    Example:
        >>> chain_output_size("Net", 28, nn.Conv2d(1, 8, 3), nn.MaxPool2d(2))
        (13, 13)
    """
    layers: list[Any] = [layer for part in chain for layer in part.modules() if hasattr(layer, "kernel_size")]
    size, failed_at = _follow(as_height_width(image_size), layers)
    if failed_at is None:
        return size
    smallest = next((n for n in range(1, 4097) if _follow((n, n), layers)[1] is None), None)
    wanted = f"at least {smallest}x{smallest} pixels" if smallest else "far larger images"
    layer, kernel = layers[failed_at], as_pair(layers[failed_at].kernel_size)
    what = f"a {kernel[0]}x{kernel[1]} kernel"
    if not _has_room(size, layer):
        pixels = layer.padding if isinstance(layer.padding, str) else max(as_pair(layer.padding))
        what = f"padding_mode {layer.padding_mode} with a padding of {pixels}"
    raise UserError(
        f"image_size {image_size} is too small for {net}: {type(layer).__name__} (number {failed_at + 1} of its "
        f"{len(layers)} convolution and pooling layers) has {what} for {size[0]}x{size[1]} "
        f"pixels.\nResize the images to {wanted}, or take fewer stages, smaller kernels or more padding."
    )


def _follow(size: tuple[int, int], layers: list[Any]) -> tuple[tuple[int, int], int | None]:
    """Return the size after the layers and None, or the size at which a layer no longer fits and its index."""
    for index, layer in enumerate(layers):
        if not _has_room(size, layer):
            return size, index
        if layer.padding == "same":
            continue
        keys = ("kernel_size", "stride", "dilation")
        kernel, stride, dilation = (as_pair(getattr(layer, key, 1)) for key in keys)
        padding = as_pair(0 if layer.padding == "valid" else layer.padding)
        ceil_mode = bool(getattr(layer, "ceil_mode", False))
        after = [count_places(size[i], kernel[i], padding[i], stride[i], dilation[i], ceil_mode) for i in (0, 1)]
        if min(after) < 1:
            return size, index
        size = (after[0], after[1])
    return size, None


def _has_room(size: tuple[int, int], layer: Any) -> bool:
    """Whether the image is large enough to be padded with its own pixels; ``reflect`` does not repeat the edge."""
    mode = getattr(layer, "padding_mode", "zeros")
    if mode not in ("reflect", "circular"):
        return True
    kernel, dilation = as_pair(layer.kernel_size), as_pair(layer.dilation)
    same = [max(split_same(kernel[i], dilation[i])) for i in (0, 1)]
    pixels = same if layer.padding == "same" else as_pair(0 if layer.padding == "valid" else layer.padding)
    return all(pixels[i] < size[i] + (mode == "circular") for i in (0, 1))
