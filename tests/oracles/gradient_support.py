"""Receptive fields measured: the pixels that the gradient of a unit reaches.

The net is made linear and positive, so that no path cancels another and none is switched off: weights become positive
constants, activations and normalizations the identity, maxima sums. What is left of a gradient is its reach.
"""

import contextlib
import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnnkit.errors import UserError
from cnnkit.inspection.geometry import Field
from cnnkit.inspection.receptive_field import find_layer, place_unit, run_until
from cnnkit.layers.probing import image_shape
from cnnkit.sizes import ImageSize


def measure_field(net: nn.Module, layer: str | None = None, image_size: ImageSize | None = None) -> Field:
    """What `receptive_field` calculates, measured."""
    name, field, run = find_layer(net, layer, image_size)
    return gradient_support(net, name, run, field, image_shape(net, image_size))


def gradient_support(net: nn.Module, layer: str, run: int, field: Field, image: tuple[int, int, int]) -> Field:
    """The field of a layer that gives a map, measured.

    Args:
        net: the net.
        layer: the layer's name.
        run: which of its runs counts, from 1.
        field: what the field should be; it decides on the size of the image alone.
        image: the shape (C, H, W) of an image that the net takes.

    Raises:
        UserError: the net does not take larger images.
    """
    plain = linear_copy(net)
    rows, columns = (_measure(plain, layer, run, field, image, axis) for axis in (0, 1))
    (height, down, top), (width, right, left) = rows, columns
    return Field((height, width), (down, right), (top, left))


def _measure(
    net: nn.Module, layer: str, run: int, field: Field, image: tuple[int, int, int], axis: int
) -> tuple[float, int, float]:
    """Size, stride and first pixel in one direction, from the gradients of two neighboring units.

    The image is as long as the field and a little more, so that a field that is cut off would be seen, and as wide as
    the net needs to give anything: windows are rectangles, so the rows that a unit sees are the same in any column.
    """
    assert field.stride is not None
    stride, across, shape = field.stride[axis], image[2 - axis], list(image)
    unit, pixels = (0, 2 * shape[1 + axis]) if math.isinf(field.size[axis]) else place_unit(field, axis)
    shape[1 + axis] = pixels + 2 * stride  # for the unit's neighbor, and for windows that must be whole
    widths = [field.stride[1 - axis] * 2**n for n in range(12)]
    for width in (width for width in widths if width < across):
        shape[2 - axis] = width
        with contextlib.suppress(UserError):
            found = _two_ranges(net, layer, run, shape, axis, unit)
            break
    else:
        shape[2 - axis] = across
        found = _two_ranges(net, layer, run, shape, axis, unit)
    (first, last), (following, _) = found
    if (first, last) == (0, shape[1 + axis] - 1):
        return math.inf, stride, -math.inf
    return last - first + 1, following - first, first - unit * (following - first)


def _two_ranges(
    net: nn.Module, layer: str, run: int, shape: list[int], axis: int, unit: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and last pixel in one direction that the gradient of a unit reaches, and those of its neighbor."""
    images = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    with ReplacedFunctions(_LINEAR):
        maps = run_until(net, layer, run, images)
    ranges = []
    for index in (unit, unit + 1):
        line = maps[0].select(1 + axis, index) if index < maps.shape[2 + axis] else maps.new_empty(0)
        middle = line[:, line.shape[1] // 2].sum() if line.numel() else maps.sum() * 0
        (gradient,) = torch.autograd.grad(middle, images, retain_graph=True)
        reached = (gradient[0] != 0).any(0).any(1 - axis).nonzero()
        if not len(reached):
            raise UserError(f"{layer} sees nothing of an image of {'x'.join(map(str, shape))}")
        ranges.append((int(reached.min()), int(reached.max())))
    return ranges[0], ranges[1]


def linear_copy(net: nn.Module) -> nn.Module:
    """A copy in float64 with positive weights, balanced so that neither large nor small gradients leave the range."""
    net = copy.deepcopy(getattr(net, "_orig_mod", net)).double().eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.fill_(parameter[0, 0].numel() ** 0.5 / parameter[0].numel() if parameter.ndim > 1 else 1.0)
    return net


class ReplacedFunctions(TorchFunctionMode):
    """Within it, torch's functions of some names are replaced.

    Args:
        functions: called with the function and its arguments, by the function's name.
    """

    def __init__(self, functions: dict[str, Callable[..., Tensor]]) -> None:
        super().__init__()
        self.functions = functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        instead = self.functions.get(getattr(func, "__name__", ""))
        return instead(func, *args, **(kwargs or {})) if instead else func(*args, **(kwargs or {}))


def return_input(func: Any, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Replace a function by the identity."""
    return input


def _sum_pool(
    func: Any,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    *args: Any,
    **kw: Any,
) -> Tensor:
    """In place of a maximum: the sum of the same windows."""
    height, width = func(input, kernel_size, stride, padding, dilation, *args, **kw).shape[-2:]
    kernel = torch.ones(1, 1, *_pair(kernel_size), dtype=input.dtype)
    stride = _pair(stride or kernel_size)
    ragged = F.pad(input, (0, stride[1], 0, stride[0]))  # a last window that reaches over the edge
    planes = ragged.reshape(-1, 1, *ragged.shape[-2:])
    sums = F.conv2d(planes, kernel, None, stride, padding, dilation)[..., :height, :width]
    return sums.reshape(*input.shape[:-2], height, width)


def _adaptive_pool(func: Any, input: Tensor, output_size: Any, *_: Any) -> Tensor:
    """Global pooling as it is; any other changes nothing at the net's own image size, else the field is not known."""
    return func(input, output_size) if output_size in (1, (1, 1), [1, 1]) else input


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


_ACTIVATIONS = "relu relu_ relu6 leaky_relu leaky_relu_ prelu rrelu elu elu_ selu selu_ celu gelu silu mish softplus"
_ACTIVATIONS += " hardswish hardsigmoid hardtanh hardtanh_ sigmoid sigmoid_ tanh tanh_ clamp clamp_"
_NORMS = "batch_norm group_norm instance_norm layer_norm rms_norm local_response_norm"
_LINEAR: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys([*_ACTIVATIONS.split(), *_NORMS.split(), "dropout", "interpolate"], return_input),
    "max_pool2d": _sum_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
}
