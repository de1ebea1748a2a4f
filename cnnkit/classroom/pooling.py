"""Pooling and its derivative by their definitions: plain loops over the windows, for small examples.

`torch.nn.functional` has ``max_pool2d`` and ``avg_pool2d``, and `cnnkit.layers.pool` has the others. The tests compare
both with these functions. Images are (H, W) or (C, H, W), without a batch; sizes are one number, or (height, width).
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Literal, get_args

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.sizes import Size, expand_size, output_size

PoolKind = Literal["max", "min", "sum", "mean", "subsampling"]
Window = tuple[int, int, list[int], list[int]]
"""Row and column of the output, and the rows and columns of the image in the window."""


def pool2d(
    image: Tensor,
    size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    kind: PoolKind = "max",
    count_padding: bool = True,
    dilation: Size = 1,
) -> Tensor:
    """Reduce every window of each channel to one value.

    Padding never counts: it cannot be the maximum or minimum, it adds nothing to a sum, and subsampling takes the first
    pixel inside the image. Only the divisor of a mean can include it. Among equal largest (or smallest) values the
    first is taken, row by row, so that the gradient goes to the same pixel as in torch.

    Args:
        image: (H, W), or (C, H, W).
        size: size of the window in pixels.
        stride: pixels between two windows; by default the size, so that windows do not overlap.
        padding: pixels on every side of the image, fewer than the window has.
        kind: the value of a window: ``max``, ``min``, ``sum``, ``mean`` or ``subsampling``, its first pixel.
        count_padding: divide a mean by the size of the window; if false, by the number of its pixels inside the image
            (torch's ``count_include_pad``).
        dilation: pixels between two values of the window.

    Returns:
        (H', W') or (C, H', W').

    Raises:
        UserError: the window does not fit or can lie entirely in the padding, or the kind is unknown.

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
    windows = list(_find_windows(image, size, stride, padding, dilation, kind))
    dtype = torch.result_type(image, 1.0) if kind == "mean" else image.dtype
    output = image.new_empty(len(image), windows[-1][0] + 1, windows[-1][1] + 1, dtype=dtype)
    for i, j, rows, columns in windows:
        values = image[:, rows][:, :, columns].flatten(1)
        if kind in ("sum", "mean"):
            output[:, i, j] = _share(values.sum(1), kind, count_padding, size, values)
        else:
            output[:, i, j] = values.gather(1, _choose(values, kind))[:, 0]
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
    """Compute the derivative of the loss with respect to the image by hand.

    A maximum depends on its largest pixel only: the derivative with respect to that pixel is 1, and 0 for all others.
    So each window passes its upstream gradient to the pixel that it took. A mean passes an equal part to each pixel, a
    sum passes the whole gradient to each, subsampling passes it to the first pixel. By the chain rule, a pixel in
    several windows adds up what it receives from each.

    Args:
        image: the image that was pooled, (H, W) or (C, H, W).
        upstream: derivative of the loss with respect to the output of `pool2d`, of the same shape.
        size: size of the window in pixels; this and the arguments after it are those of `pool2d`.

    Returns:
        The derivative with respect to the image, of the same shape.

    Raises:
        UserError: as for `pool2d`, or the upstream gradient does not have the shape of the output.

    Example:
        >>> image = torch.tensor([[1, 5, 2], [5, 3, 4]])  # both windows see the upper 5, one also the lower 5
        >>> pool2d_gradient(image, torch.tensor([[10, 1]]), 2, stride=1).tolist()
        [[0, 11, 0], [0, 0, 0]]
        >>> pool2d_gradient(image, torch.tensor([[10.0, 1.0]]), 2, stride=1, kind="mean").tolist()
        [[2.5, 2.75, 0.25], [2.5, 2.75, 0.25]]
    """
    if image.dim() == upstream.dim() == 2:
        return pool2d_gradient(image[None], upstream[None], size, stride, padding, kind, count_padding, dilation)[0]
    windows = list(_find_windows(image, size, stride, padding, dilation, kind))
    shape = (len(image), windows[-1][0] + 1, windows[-1][1] + 1)
    if tuple(upstream.shape) != shape:
        raise UserError(f"upstream has shape {tuple(upstream.shape)}; the pooled image has {shape}: give one for each.")
    gradient = torch.zeros_like(image, dtype=torch.result_type(upstream, 1.0) if kind == "mean" else upstream.dtype)
    for i, j, rows, columns in windows:
        values = image[:, rows][:, :, columns].flatten(1)
        if kind in ("sum", "mean"):
            share = _share(upstream[:, i, j], kind, count_padding, size, values)[:, None].expand(values.shape)
        else:
            share = upstream.new_zeros(values.shape).scatter(1, _choose(values, kind), upstream[:, i, j, None])
        for (row, column), part in zip(product(rows, columns), share.T, strict=True):
            gradient[:, row, column] += part.to(gradient.dtype)
    return gradient


def differentiate_numerically(
    function: Callable[[Tensor], Tensor], image: Tensor, upstream: Tensor, step: float = 1e-4
) -> Tensor:
    """Compute the derivative by finite differences: move each value a little up and down, and measure the loss.

    The result is right where the function is smooth. A maximum of two equal values has a kink; there each gets half.

    Args:
        function: a function of the image.
        image: float64, of any shape.
        upstream: derivative of the loss with respect to the function's output, of the same shape.
        step: size of the move.

    Returns:
        The derivative, of the shape of the image.

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


def _find_windows(
    image: Tensor, size: Size, stride: Size | None, padding: Size, dilation: Size, kind: str
) -> Iterator[Window]:
    if kind not in get_args(PoolKind):
        raise UserError(f"pooling {kind!r} is unknown; choose one of {', '.join(get_args(PoolKind))}.")
    if image.dim() != 3:
        raise UserError(f"the image has shape {tuple(image.shape)}; give (H, W) or (C, H, W).")
    reach, steps, border, apart = (expand_size(n, 2) for n in (size, stride or size, padding, dilation))
    extent = (image.shape[1], image.shape[2])
    rows, columns = expand_size(output_size(extent, reach, border, steps, apart), 2)
    for i, j in product(range(rows), range(columns)):
        starts = (i * steps[0] - border[0], j * steps[1] - border[1])
        seen = [
            [n for n in range(starts[axis], starts[axis] + apart[axis] * reach[axis], apart[axis]) if n in range(limit)]
            for axis, limit in enumerate(extent)
        ]
        if not all(seen):
            raise UserError(
                f"padding {padding} contains a whole window of {size}; give less padding than the window size."
            )
        yield i, j, seen[0], seen[1]


def _choose(values: Tensor, kind: PoolKind) -> Tensor:
    """Return the index (C, 1) of the value that is taken in each channel of (C, n): the first of equal ones."""
    if kind == "subsampling":
        return torch.zeros(len(values), 1, dtype=torch.long)
    return values.argmax(1, keepdim=True) if kind == "max" else values.argmin(1, keepdim=True)


def _share(total: Tensor, kind: PoolKind, count_padding: bool, size: Size, values: Tensor) -> Tensor:
    """Return the total for a sum, and the total divided by the pixels of the window for a mean."""
    if kind == "sum":
        return total
    height, width = expand_size(size, 2)
    return total / (height * width if count_padding else values.shape[1])
