"""Explains the shape and the number of parameters of each row of a summary, with the numbers of that layer."""

import math
from collections.abc import Callable

from torch import nn

from cnnkit.inspection.complexity import Complexity, LayerRow
from cnnkit.layers import DilatedAvgPool2d, MinPool2d, Subsample2d, SumPool2d
from cnnkit.sizes import expand_size

_POOLS = (nn.MaxPool2d, nn.AvgPool2d, MinPool2d, SumPool2d, DilatedAvgPool2d, Subsample2d)


def derive_rows(summary: Complexity) -> list[str]:
    """Derive the shape and the parameters of each row, and explain the memory.

    Args:
        summary: the result of `cnnkit.inspection.complexity.complexity`.

    Returns:
        One line for each row, and one about memory if there are rows of `nn.Flatten`.

    Example:
        >>> from cnnkit.inspection.complexity import complexity
        >>> derive_rows(complexity(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), (1, 28, 28)))[1]
        '1 Linear: 10 units, each with 784 weights and a bias: 784*10 + 10 = 7,850 parameters'
    """
    lines = [f"{row.name or '(the net)'} {row.type}: {derive_row(row)}" for row in summary.rows]
    flat = [row for row in summary.rows if isinstance(row.module, nn.Flatten)]
    if flat:
        without = summary.megabytes - sum(row.megabytes for row in flat)
        lines.append(
            f"memory: Flatten makes no copy of its {math.prod(flat[0].shape):,} values, but torchsummary counts every "
            f"module. A net that calls view() instead has no such row: {without:.2f} MB in total instead of "
            f"{summary.megabytes:.2f}."
        )
    return lines


def derive_row(row: LayerRow) -> str:
    """Derive one row: its shape by the rule for its kind of layer, its parameters by counting weights."""
    for kinds, rule in _RULES:
        if isinstance(row.module, kinds) and row.takes is not None:
            return rule(row)
    if row.takes == row.shape and not row.parameters:
        return f"works on each value, so the shape stays {_format(row.shape)}; 0 parameters"
    counts = [f"{'x'.join(map(str, p.shape))}" for p in row.module.parameters(recurse=False)]
    made = f"{_format(row.takes)} becomes {_format(row.shape)}" if row.takes else f"gives {_format(row.shape)}"
    return f"{made}; parameters {' + '.join(counts) if counts else ''}{' = ' if counts else ''}{row.parameters:,}"


def _derive_conv(row: LayerRow) -> str:
    layer = row.module
    assert isinstance(layer, nn.Conv2d)
    assert row.takes is not None
    height, width = layer.kernel_size
    per = layer.in_channels // layer.groups
    weights = layer.out_channels * per * height * width
    count = weights + (layer.out_channels if layer.bias is not None else 0)
    sizes = _derive_sides(row, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    bias = f" + {layer.out_channels}" if layer.bias is not None else ""
    with_bias = f" and {layer.out_channels} biases" if bias else ""
    return (
        f"{sizes}; {layer.out_channels} kernels of {per}x{height}x{width}{with_bias} give {row.shape[0]} maps: "
        f"{layer.out_channels}*{per}*{height}*{width}{bias} = {count:,} parameters; "
        f"each weight is used at {row.shape[1]}*{row.shape[2]} positions: "
        f"{weights:,}*{row.shape[1] * row.shape[2]} = {weights * row.shape[1] * row.shape[2]:,} MACs"
    )


def _derive_transposed(row: LayerRow) -> str:
    layer = row.module
    assert isinstance(layer, nn.ConvTranspose2d)
    assert row.takes is not None
    (k, _), (s, _), (d, _) = layer.kernel_size, layer.stride, layer.dilation
    p, extra = expand_size(layer.padding, 2)[0], expand_size(layer.output_padding, 2)[0]  # type: ignore[arg-type]
    bias = f" + {layer.out_channels}" if layer.bias is not None else ""
    count = sum(p.numel() for p in layer.parameters())
    per = layer.out_channels // layer.groups
    return (
        f"{s}*({row.takes[1]} - 1) + {d}*({k} - 1) + 1 - 2*{p} + {extra} = {row.shape[1]}; each of the "
        f"{layer.in_channels} input maps adds {per} kernels of {layer.kernel_size[0]}x{layer.kernel_size[1]}: "
        f"{layer.in_channels}*{per}*{layer.kernel_size[0]}*{layer.kernel_size[1]}{bias} = {count:,} parameters"
    )


def _derive_pool(row: LayerRow) -> str:
    layer = row.module
    kernel, stride, padding = (getattr(layer, name) for name in ("kernel_size", "stride", "padding"))
    ceil = bool(getattr(layer, "ceil_mode", False))
    sizes = _derive_sides(row, kernel, stride, padding, getattr(layer, "dilation", 1), ceil)
    return f"{sizes}; each of the {row.shape[0]} maps separately; 0 parameters"


def _derive_flatten(row: LayerRow) -> str:
    assert row.takes is not None
    return f"{'*'.join(map(str, row.takes))} = {math.prod(row.takes):,} values in one vector; 0 parameters"


def _derive_linear(row: LayerRow) -> str:
    layer = row.module
    assert isinstance(layer, nn.Linear)
    bias = layer.bias is not None
    count = layer.in_features * layer.out_features + (layer.out_features if bias else 0)
    return (
        f"{layer.out_features} units, each with {layer.in_features} weights"
        f"{' and a bias' if bias else ''}: {layer.in_features}*{layer.out_features}"
        f"{f' + {layer.out_features}' if bias else ''} = {count:,} parameters"
    )


def _derive_batch_norm(row: LayerRow) -> str:
    maps = row.shape[0]
    return f"the shape stays {_format(row.shape)}; a scale and a shift for each map: 2*{maps} = {2 * maps:,} parameters"


def _derive_mean(row: LayerRow) -> str:
    assert row.takes is not None
    return f"each map of {_format(row.takes[1:])} becomes its mean: {_format(row.shape)}; 0 parameters"


_RULES: tuple[tuple[type | tuple[type, ...], Callable[[LayerRow], str]], ...] = (
    (nn.Conv2d, _derive_conv),
    (nn.ConvTranspose2d, _derive_transposed),
    (_POOLS, _derive_pool),
    (nn.Flatten, _derive_flatten),
    (nn.Linear, _derive_linear),
    (nn.BatchNorm2d, _derive_batch_norm),
    (nn.AdaptiveAvgPool2d, _derive_mean),
)


def _derive_sides(
    row: LayerRow, kernel: object, stride: object, padding: object, dilation: object, ceil: bool = False
) -> str:
    """Write out the rule of a window for the height and, if it differs, for the width."""
    assert row.takes is not None
    if padding == "same":
        return f"padding same keeps {_format(row.takes[1:])}"
    pixels = 0 if padding == "valid" else padding
    (k, s, p, d) = (expand_size(value, 2) for value in (kernel, stride, pixels, dilation))  # type: ignore[arg-type]
    words = [
        f"({row.takes[1 + n]} + 2*{p[n]} - {d[n]}*({k[n]} - 1) - 1) / {s[n]} + 1, rounded {'up' if ceil else 'down'}, "
        f"= {row.shape[1 + n]}"
        for n in (0, 1)
    ]
    return words[0] if words[0] == words[1] else " and ".join(words)


def _format(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
