"""Output sizes, parameters and multiply-accumulates of one layer, as calculated by hand.

A size is one number, or one number for each dimension: (height, width), or (depth, height, width). One number among
tuples holds for all dimensions. `cnnkit.inspection.complexity` counts a whole net, `cnnkit.classroom.derivation`
explains it row by row, and `cnnkit.layers.conv.chain_output_size` follows a size through modules.
"""

import math
from collections.abc import Callable
from typing import Literal, overload

from cnnkit.errors import UserError
from cnnkit.layers.padding import check_padding

Size = int | tuple[int, ...]
Pad = Size | Literal["same", "valid"]


@overload
def output_size(i: int, k: int, p: int | Literal["same", "valid"] = 0, s: int = 1, d: int = 1) -> int: ...
@overload
def output_size(i: Size, k: Size, p: Pad = 0, s: Size = 1, d: Size = 1) -> Size: ...
def output_size(i: Size, k: Size, p: Pad = 0, s: Size = 1, d: Size = 1) -> Size:
    """Compute the output size of a convolution or a pooling: floor((i + 2p - d (k - 1) - 1) / s) + 1.

    A window covers d (k - 1) + 1 pixels. It has one position at the start of the padded image, and one more for every
    whole step that still fits (Dumoulin & Visin 2016, arXiv 1603.07285, chapters 2 and 5). A remainder at the edge is
    dropped, as in torch without ``ceil_mode``.

    Args:
        i: size of the input in pixels.
        k: size of the kernel or window in pixels.
        p: padding on every side in pixels; ``valid`` is none, ``same`` keeps the size, at stride 1 only.
        s: stride: pixels between two positions of the window.
        d: dilation: pixels between two weights of the kernel.

    Returns:
        One number if all arguments are one number, else one for each dimension.

    Raises:
        UserError: the window is larger than the padded input, or an argument is impossible.

    Example:
        >>> output_size(28, 5), output_size(28, 5, p=2), output_size(28, 2, s=2)
        (24, 28, 14)
        >>> output_size(224, 7, p=3, s=2), output_size(32, 3, d=2)
        (112, 28)
        >>> output_size((8, 8), (3, 5), p=(0, 1), s=(3, 4))
        (2, 2)
        >>> output_size(28, 4, p="same"), output_size(28, 4, p="valid"), output_size((4, 8, 8), 3)
        (28, 25, (2, 6, 6))
    """
    check_padding(p, s)
    if p == "same":
        return _apply_by_side(lambda i, k, d: _compute_output(i + d * (k - 1), k, 0, 1, d), i, k, d)
    p = 0 if p == "valid" else p
    return _apply_by_side(_compute_output, i, k, p, s, d)


@overload
def transposed_output_size(i: int, k: int, p: int = 0, s: int = 1, d: int = 1, extra: int = 0) -> int: ...
@overload
def transposed_output_size(i: Size, k: Size, p: Size = 0, s: Size = 1, d: Size = 1, extra: Size = 0) -> Size: ...
def transposed_output_size(i: Size, k: Size, p: Size = 0, s: Size = 1, d: Size = 1, extra: Size = 0) -> Size:
    """Compute the output size of a transposed convolution: s (i - 1) + d (k - 1) + 1 - 2p + extra.

    This is the inverse of `output_size`. With a stride above 1, a convolution maps several sizes to the same output
    size. The result is the smallest of them; ``extra`` gives the others (Dumoulin & Visin 2016, chapter 4).

    Args:
        i: size of the input in pixels.
        k: size of the kernel in pixels.
        p: pixels removed from every side of the output.
        s: stride: output pixels between the kernels of two neighboring input pixels.
        d: dilation: pixels between two weights of the kernel.
        extra: pixels added at the bottom and right end, torch's ``output_padding``; less than stride or dilation.

    Returns:
        One number if all arguments are one number, else one for each dimension.

    Raises:
        UserError: nothing would be left, or an argument is impossible.

    Example:
        >>> transposed_output_size(14, 2, s=2), transposed_output_size(14, 4, p=1, s=2), transposed_output_size(2, 2)
        (28, 28, 3)
        >>> output_size(7, 3, s=2), output_size(8, 3, s=2), transposed_output_size(3, 3, s=2, extra=1)
        (3, 3, 8)
    """
    return _apply_by_side(_compute_transposed, i, k, p, s, d, extra)


def conv_parameters(in_channels: int, out_channels: int, kernel_size: Size, bias: bool = True, groups: int = 1) -> int:
    """Count the parameters of a convolution: one kernel of in_channels / groups x height x width for each output map.

    The number does not depend on the size of the image. A transposed convolution has as many weights.

    Args:
        in_channels: maps of the input.
        out_channels: maps of the output.
        kernel_size: pixels.
        bias: one more parameter for each output map.
        groups: groups of channels that are convolved separately.

    Raises:
        UserError: a number is below 1, or the groups do not divide the channels.

    Example:
        >>> conv_parameters(3, 200, 5)  # 5x5 kernels on a color image
        15200
        >>> conv_parameters(64, 64, 3, bias=False), conv_parameters(64, 64, 3, bias=False, groups=64)
        (36864, 576)
    """
    return _count_weights(in_channels, out_channels, kernel_size, groups) + (out_channels if bias else 0)


def dense_parameters(inputs: int, outputs: int, bias: bool = True) -> int:
    """Count the parameters of a dense (fully connected) layer: a weight for each pair of an input and an output.

    Args:
        inputs: number of input values; for an image, channels x height x width.
        outputs: units.
        bias: one more parameter for each unit.

    Raises:
        UserError: a number is below 1.

    Example:
        >>> dense_parameters(100 * 100, 1000, bias=False)  # a gray image, 1,000 units
        10000000
    """
    return dense_macs(inputs, outputs) + (outputs if bias else 0)


def conv_macs(in_channels: int, out_channels: int, kernel_size: Size, output: Size, groups: int = 1) -> int:
    """Count the multiply-accumulates of a convolution on one image: every weight is used once for each output pixel.

    Adding the bias is not counted, as in `cnnkit.inspection.complexity`.

    Args:
        in_channels: maps of the input.
        out_channels: maps of the output.
        kernel_size: pixels.
        output: size of the output, see `output_size`.
        groups: groups of channels that are convolved separately.

    Raises:
        UserError: a number is below 1, or the groups do not divide the channels.

    Example:
        >>> conv_macs(3, 64, 7, output_size(224, 7, p=3, s=2))  # the first layer of ResNet
        118013952
    """
    _check_at_least(1, output=min(_expand(output)))
    return _count_weights(in_channels, out_channels, kernel_size, groups) * math.prod(_expand(output))


def dense_macs(inputs: int, outputs: int) -> int:
    """Count the multiply-accumulates of a dense layer on one image: every weight is used once.

    Args:
        inputs: number of input values.
        outputs: units.

    Raises:
        UserError: a number is below 1.

    Example:
        >>> dense_macs(3200, 200)
        640000
    """
    _check_at_least(1, inputs=inputs, outputs=outputs)
    return inputs * outputs


def expand_size(size: Size, count: int) -> tuple[int, ...]:
    """Return a size as ``count`` numbers, one for each dimension.

    Raises:
        UserError: the size has a different number of values.

    Example:
        >>> expand_size(3, 1), expand_size(3, 3), expand_size((2, 3), 2)
        ((3,), (3, 3, 3), (2, 3))
    """
    sides = (size,) * count if isinstance(size, int) else tuple(size)
    if len(sides) != count:
        raise UserError(f"{size} has {len(sides)} numbers; give one, or one for each of {count} dimensions.")
    return sides


def _expand(size: Size) -> tuple[int, ...]:
    """Return (height, width) for one number; a tuple stays unchanged."""
    return expand_size(size, 2) if isinstance(size, int) else size


def _compute_output(i: int, k: int, p: int, s: int, d: int) -> int:
    _check_at_least(1, i=i, k=k, s=s, d=d)
    _check_at_least(0, p=p)
    reach = d * (k - 1) + 1
    if i + 2 * p < reach:
        raise UserError(
            f"a window of {reach} pixels does not fit into {i} with a padding of {p}; "
            f"give at least {reach - 2 * p} pixels, more padding or a smaller kernel."
        )
    return (i + 2 * p - reach) // s + 1


def _compute_transposed(i: int, k: int, p: int, s: int, d: int, extra: int) -> int:
    _check_at_least(1, i=i, k=k, s=s, d=d)
    _check_at_least(0, p=p, extra=extra)
    if extra >= max(s, d):
        raise UserError(f"extra is {extra}; it must be less than stride {s} or dilation {d}, whichever is larger.")
    size = s * (i - 1) + d * (k - 1) + 1 - 2 * p + extra
    if size < 1:
        raise UserError(f"a padding of {p} leaves nothing of {size + 2 * p} pixels; give less padding.")
    return size


def _count_weights(in_channels: int, out_channels: int, kernel_size: Size, groups: int) -> int:
    sides = _expand(kernel_size)
    _check_at_least(1, in_channels=in_channels, out_channels=out_channels, kernel_size=min(sides), groups=groups)
    if in_channels % groups or out_channels % groups:
        raise UserError(f"groups is {groups}; it must divide both {in_channels} and {out_channels} channels.")
    return in_channels // groups * out_channels * math.prod(sides)


def _apply_by_side(rule: Callable[..., int], *sizes: Size) -> Size:
    """Apply a rule for one dimension to each dimension, or once if all sizes are one number."""
    counts = [len(size) for size in sizes if not isinstance(size, int)]
    if not counts:
        return rule(*sizes)
    return tuple(rule(*side) for side in zip(*(expand_size(size, max(counts)) for size in sizes), strict=True))


def _check_at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise UserError(f"{name} is {number}; give at least {least}.")
