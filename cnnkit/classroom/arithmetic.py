"""Parameters and multiply-accumulates of one layer, as calculated by hand.

`cnnkit.sizes` calculates the sizes of outputs, and `cnnkit.layers.conv.chain_output_size` follows a size through
modules. `cnnkit.inspection.complexity` counts a whole net; `cnnkit.classroom.derivation` explains it row by row.
"""

import math

from cnnkit.errors import UserError
from cnnkit.sizes import Size, as_pair, check_at_least


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
        output: size of the output, see `cnnkit.sizes.output_size`.
        groups: groups of channels that are convolved separately.

    Raises:
        UserError: a number is below 1, or the groups do not divide the channels.

    Example:
        >>> from cnnkit.sizes import output_size
        >>> conv_macs(3, 64, 7, output_size(224, 7, p=3, s=2))  # the first layer of ResNet
        118013952
    """
    check_at_least(1, output=min(as_pair(output)))
    return _count_weights(in_channels, out_channels, kernel_size, groups) * math.prod(as_pair(output))


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
    check_at_least(1, inputs=inputs, outputs=outputs)
    return inputs * outputs


def _count_weights(in_channels: int, out_channels: int, kernel_size: Size, groups: int) -> int:
    sides = as_pair(kernel_size)
    check_at_least(1, in_channels=in_channels, out_channels=out_channels, kernel_size=min(sides), groups=groups)
    if in_channels % groups or out_channels % groups:
        raise UserError(f"groups is {groups}; it must divide both {in_channels} and {out_channels} channels.")
    return in_channels // groups * out_channels * math.prod(sides)
