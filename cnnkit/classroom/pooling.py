"""Pooling and its derivative as their definitions read: plain loops over the windows, for small examples.

`torch.nn.functional` has ``max_pool2d`` and ``avg_pool2d``, `cnnkit.layers.pool` the others; both are tested against
these functions. Images are (H, W) or (C, H, W), without a batch; sizes are one number, or (height, width).
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor

from cnnkit.classroom.arithmetic import Size, each_side, output_size
from cnnkit.errors import UserError

PoolKind = Literal["max", "min", "sum", "mean", "subsampling"]
Window = tuple[int, int, list[int], list[int]]
"""Row and column of the output, and the rows and columns of the image that the window sees."""


def pool2d(
    image: Tensor,
    size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    kind: PoolKind = "max",
    count_padding: bool = True,
    dilation: Size = 1,
) -> Tensor:
    """Make one value of every window of each channel.

    Pixels of the padding never count: they are no candidates for maximum and minimum, add nothing to a sum, and
    subsampling takes the first pixel that is there. Only the divisor of a mean can include them. Of several largest
    (or smallest) values the first is taken, row by row, so that the gradient goes where torch sends it.

    Args:
        image: (H, W), or (C, H, W).
        size: of the window, in pixels.
        stride: pixels between two windows; by default the size: windows side by side.
        padding: pixels on every side of the image, fewer than the window has.
        kind: what is taken of a window: ``max``, ``min``, ``sum``, ``mean`` or, by ``subsampling``, its first pixel.
        count_padding: a mean divides by the size of the window; else by the number of its pixels in the image (torch's
            ``count_include_pad``).
        dilation: pixels between two values of the window.

    Returns:
        (H', W') or (C, H', W').

    Raises:
        UserError: the window does not fit or can lie in the padding alone, or the kind is unknown.

    Example:
        >>> image = torch.arange(16).reshape(4, 4)
        >>> pool2d(image, 3, stride=2, padding=1).tolist()
        [[5, 7], [13, 15]]
        >>> pool2d(image, 2, kind="mean").tolist()
        [[2.5, 4.5], [10.5, 12.5]]
        >>> pool2d(image, 2, stride=1, dilation=2).tolist()
        [[10, 11], [14, 15]]
    """
    if image.dim() == 2:
        return pool2d(image[None], size, stride, padding, kind, count_padding, dilation)[0]
    windows = list(_windows(image, size, stride, padding, dilation, kind))
    dtype = torch.result_type(image, 1.0) if kind == "mean" else image.dtype
    output = image.new_empty(len(image), windows[-1][0] + 1, windows[-1][1] + 1, dtype=dtype)
    for i, j, rows, columns in windows:
        values = image[:, rows][:, :, columns].flatten(1)
        if kind in ("sum", "mean"):
            output[:, i, j] = _share(values.sum(1), kind, count_padding, size, values)
        else:
            output[:, i, j] = values.gather(1, _chosen(values, kind))[:, 0]
    return output


def pool2d_gradient(
    image: Tensor,
    upstream: Tensor,
    size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    kind: PoolKind = "max",
    count_padding: bool = True,
    dilation: Size = 1,
) -> Tensor:
    """The derivative of pooling, by hand: how much the loss changes with each pixel.

    A maximum is its largest pixel and nothing else: the derivative with respect to that pixel is 1, and 0 to all
    others. So each window hands its share of the upstream gradient back to the one pixel that it took; a mean hands
    each pixel an equal part, a sum the whole, subsampling all to the first. A pixel in several windows collects from
    each of them (the chain rule adds up).

    Args:
        image: (H, W), or (C, H, W), as it was pooled.
        upstream: derivative of the loss with respect to the output of `pool2d`, of its shape.
        size: the other arguments are those of `pool2d`.
        stride: see there.
        padding: see there.
        kind: see there.
        count_padding: see there.
        dilation: see there.

    Returns:
        The derivative with respect to the image, of its shape.

    Raises:
        UserError: as `pool2d`, or the upstream gradient has another shape than the output.

    Example:
        >>> image = torch.tensor([[1, 5, 2], [5, 3, 4]])  # two windows, both see the 5 above, one the 5 below
        >>> pool2d_gradient(image, torch.tensor([[10, 1]]), 2, stride=1).tolist()
        [[0, 11, 0], [0, 0, 0]]
        >>> pool2d_gradient(image, torch.tensor([[10.0, 1.0]]), 2, stride=1, kind="mean").tolist()
        [[2.5, 2.75, 0.25], [2.5, 2.75, 0.25]]
    """
    if image.dim() == upstream.dim() == 2:
        return pool2d_gradient(image[None], upstream[None], size, stride, padding, kind, count_padding, dilation)[0]
    windows = list(_windows(image, size, stride, padding, dilation, kind))
    shape = (len(image), windows[-1][0] + 1, windows[-1][1] + 1)
    if tuple(upstream.shape) != shape:
        raise UserError(f"upstream has shape {tuple(upstream.shape)}; the pooled image has {shape}: give one for each.")
    gradient = torch.zeros_like(image, dtype=torch.result_type(upstream, 1.0) if kind == "mean" else upstream.dtype)
    for i, j, rows, columns in windows:
        values = image[:, rows][:, :, columns].flatten(1)
        if kind in ("sum", "mean"):
            share = _share(upstream[:, i, j], kind, count_padding, size, values)[:, None].expand(values.shape)
        else:
            share = upstream.new_zeros(values.shape).scatter(1, _chosen(values, kind), upstream[:, i, j, None])
        for (row, column), part in zip(product(rows, columns), share.T, strict=True):
            gradient[:, row, column] += part.to(gradient.dtype)
    return gradient


def differentiate_numerically(
    function: Callable[[Tensor], Tensor], image: Tensor, upstream: Tensor, step: float = 1e-4
) -> Tensor:
    """The derivative by finite differences: move each value a little up and down, and see how the loss follows.

    It is right where the function is smooth; a maximum of two equal values has a kink, where it gives half to each.

    Args:
        function: of the image.
        image: float64, of any shape.
        upstream: derivative of the loss with respect to the function's output, of its shape.
        step: how far each value is moved.

    Returns:
        Of the image's shape.

    Example:
        >>> differentiate_numerically(torch.square, torch.tensor([1.0, 2.0]).double(), torch.ones(2)).round(decimals=6)
        tensor([2., 4.], dtype=torch.float64)
    """
    gradient = torch.zeros_like(image)
    for place in product(*map(range, image.shape)):
        up, down = image.clone(), image.clone()
        up[place] += step
        down[place] -= step
        gradient[place] = ((function(up) - function(down)) * upstream).sum() / (2 * step)
    return gradient


def _windows(
    image: Tensor, size: Size, stride: Size | None, padding: Size, dilation: Size, kind: str
) -> Iterator[Window]:
    if kind not in get_args(PoolKind):
        raise UserError(f"pooling {kind!r} is unknown; choose one of {', '.join(get_args(PoolKind))}.")
    if image.dim() != 3:
        raise UserError(f"the image has shape {tuple(image.shape)}; give (H, W) or (C, H, W).")
    reach, steps, border, apart = (each_side(n, 2) for n in (size, stride or size, padding, dilation))
    extent = (image.shape[1], image.shape[2])
    rows, columns = each_side(output_size(extent, reach, border, steps, apart), 2)
    for i, j in product(range(rows), range(columns)):
        starts = (i * steps[0] - border[0], j * steps[1] - border[1])
        seen = [
            [n for n in range(starts[axis], starts[axis] + apart[axis] * reach[axis], apart[axis]) if n in range(limit)]
            for axis, limit in enumerate(extent)
        ]
        if not all(seen):
            raise UserError(f"padding {padding} holds a whole window of {size}; give less padding than the window has.")
        yield i, j, seen[0], seen[1]


def _chosen(values: Tensor, kind: PoolKind) -> Tensor:
    """Which value (C, 1) of each channel's (C, n) is taken: of equal ones the first."""
    if kind == "subsampling":
        return torch.zeros(len(values), 1, dtype=torch.long)
    return values.argmax(1, keepdim=True) if kind == "max" else values.argmin(1, keepdim=True)


def _share(total: Tensor, kind: PoolKind, count_padding: bool, size: Size, values: Tensor) -> Tensor:
    """Of a mean, the total divided by the pixels of the window; of a sum, all of it."""
    if kind == "sum":
        return total
    height, width = each_side(size, 2)
    return total / (height * width if count_padding else values.shape[1])
