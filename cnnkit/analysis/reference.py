"""Convolution and pooling as their definitions read: plain loops over the places of the window, for small examples.

Layers are tested against these functions, and an example done by hand can be checked with them. For real images take
torch's own, which are far faster and named in each docstring. Images are (H, W) or (C, H, W), without
a batch; sizes are one number, or (height, width). Results have the type of image and kernel, so bytes (uint8) overflow:
make them floats first. Gradients flow through.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from cnnkit.analysis.arithmetic import Size, output_size, pair, transposed_output_size
from cnnkit.errors import UserError

PoolKind = Literal["max", "min", "sum", "mean", "subsampling"]


def corr2d(image: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Tensor:
    """Cross-correlate: lay the kernel on the image, multiply what meets, add it all up, move on.

    ``out[o, i, j]`` is the sum over c, a, b of ``kernel[o, c, a, b] * image[c, i s + a d - p, j s + b d - p]``, where
    the image is zero outside. This is what deep learning calls a convolution: `torch.nn.functional.conv2d`.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (O, C, kh, kw).
        stride: s, pixels between two places of the kernel.
        padding: p, zeros on every side of the image.
        dilation: d, pixels between two weights of the kernel.

    Returns:
        (H', W') or (O, H', W'); the sizes are those of `cnnkit.analysis.arithmetic.output_size`.

    Raises:
        UserError: the shapes do not belong together, or the kernel does not fit.

    Example:
        >>> image = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
        >>> corr2d(image, torch.tensor([[0, 1], [2, 3]])).tolist()  # 0*0 + 1*1 + 3*2 + 4*3 = 19
        [[19, 25], [37, 43]]
        >>> corr2d(image, torch.tensor([[0, 1], [2, 3]]), stride=(3, 2), padding=1).tolist()
        [[0, 8], [6, 8]]
    """
    if image.dim() == kernel.dim() == 2:
        return corr2d(image[None], kernel[None, None], stride, padding, dilation)[0]
    _check(image, kernel, channels=1)
    padded, (height, width) = _pad(image, padding), (kernel.shape[2], kernel.shape[3])
    (down, right), (apart, aside) = pair(stride), pair(dilation)
    rows, columns = pair(output_size(_size(image), (height, width), padding, stride, dilation))
    output = image.new_empty(len(kernel), rows, columns, dtype=torch.result_type(image, kernel))
    for i in range(rows):
        for j in range(columns):
            top, left = i * down, j * right
            window = padded[:, top : top + apart * height : apart, left : left + aside * width : aside]
            output[:, i, j] = (kernel * window).sum((1, 2, 3))
    return output


def conv2d(image: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Tensor:
    """Convolve as mathematics does: correlate with the kernel turned by 180 degrees.

    So kernel and image can change places, and a single bright pixel becomes a picture of the kernel. A net does not
    care, since it learns its kernels either way up. So does ``scipy.signal.convolve2d``; torch's ``conv2d`` correlates.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (O, C, kh, kw).
        stride: pixels between two places of the kernel.
        padding: zeros on every side of the image; kernel size - 1 gives every sum in which both meet.
        dilation: pixels between two weights of the kernel.

    Returns:
        (H', W') or (O, H', W').

    Raises:
        UserError: the shapes do not belong together, or the kernel does not fit.

    Example:
        >>> dot = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
        >>> conv2d(dot, torch.tensor([[1, 2], [3, 4]])).tolist()
        [[1, 2], [3, 4]]
        >>> corr2d(dot, torch.tensor([[1, 2], [3, 4]])).tolist()
        [[4, 3], [2, 1]]
    """
    return corr2d(image, kernel.flip(-2, -1), stride, padding, dilation)


def pool2d(
    image: Tensor,
    size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    kind: PoolKind = "max",
    count_padding: bool = True,
) -> Tensor:
    """Make one value of every window of each channel.

    Pixels of the padding never count: they are no candidates for maximum and minimum, add nothing to a sum, and
    subsampling takes the first pixel that is there. Only the divisor of a mean can include them.

    `torch.nn.functional` has ``max_pool2d`` and ``avg_pool2d``, `cnnkit.layers.pool` the others.

    Args:
        image: (H, W), or (C, H, W).
        size: of the window, in pixels.
        stride: pixels between two windows; by default the size: windows side by side.
        padding: pixels on every side of the image, fewer than the window has.
        kind: what is taken of a window: ``max``, ``min``, ``sum``, ``mean`` or, by ``subsampling``, its first pixel.
        count_padding: a mean divides by the size of the window; else by the number of its pixels in the image (torch's
            ``count_include_pad``).

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
    """
    if image.dim() == 2:
        return pool2d(image[None], size, stride, padding, kind, count_padding)[0]
    if kind not in get_args(PoolKind):
        raise UserError(f"pooling {kind!r} is unknown; choose one of {', '.join(get_args(PoolKind))}.")
    (height, width), (down, right), (above, before) = pair(size), pair(stride or size), pair(padding)
    if above >= height or before >= width:
        raise UserError(f"padding {padding} holds a whole window of {size}; give less padding than the window has.")
    rows, columns = pair(output_size(_size(image), size, padding, (down, right)))
    dtype = torch.result_type(image, 1.0) if kind == "mean" else image.dtype
    output = image.new_empty(len(image), rows, columns, dtype=dtype)
    for i in range(rows):
        for j in range(columns):
            top, left = i * down - above, j * right - before
            window = image[:, max(top, 0) : top + height, max(left, 0) : left + width]
            output[:, i, j] = _one_value(window, kind, height * width if count_padding else window[0].numel())
    return output


def conv_transpose2d(image: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0) -> Tensor:
    """Enlarge: every pixel of the image adds a copy of the kernel, times its value, to the output.

    ``out[o, i s + a - p, j s + b - p]`` collects ``image[c, i, j] * kernel[c, o, a, b]`` over all c, i, j, a, b. What
    `corr2d` does to an image is a matrix; this multiplies by the transposed one, with the same kernel, stride and
    padding, as its gradient does. In torch: `torch.nn.functional.conv_transpose2d`.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (C, O, kh, kw): the channels of the image come first.
        stride: s, pixels of the output between the copies of two neighbours.
        padding: p, pixels taken away from every side of the output.

    Returns:
        (H', W') or (O, H', W'); see `cnnkit.analysis.arithmetic.transposed_output_size`.

    Raises:
        UserError: the shapes do not belong together, or the padding leaves nothing.

    Example:
        >>> image = kernel = torch.tensor([[0, 1], [2, 3]])
        >>> conv_transpose2d(image, kernel).tolist()
        [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
        >>> conv_transpose2d(image, kernel, stride=2).tolist()
        [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    """
    if image.dim() == kernel.dim() == 2:
        return conv_transpose2d(image[None], kernel[None, None], stride, padding)[0]
    _check(image, kernel, channels=0)
    (height, width), (down, right), (above, before) = (kernel.shape[2], kernel.shape[3]), pair(stride), pair(padding)
    rows, columns = pair(transposed_output_size(_size(image), (height, width), padding, stride))
    whole = (kernel.shape[1], rows + 2 * above, columns + 2 * before)
    output = image.new_zeros(whole, dtype=torch.result_type(image, kernel))
    for channel, weights in zip(image, kernel, strict=True):
        for i in range(channel.shape[0]):
            for j in range(channel.shape[1]):
                top, left = i * down, j * right
                output[:, top : top + height, left : left + width] += channel[i, j] * weights
    return output[:, above : above + rows, before : before + columns]


def _one_value(window: Tensor, kind: PoolKind, count: int) -> Tensor:
    """Of every channel of a window (C, h, w)."""
    if kind == "subsampling":
        return window[:, 0, 0]
    if kind == "max":
        return window.amax((1, 2))
    if kind == "min":
        return window.amin((1, 2))
    total = window.sum((1, 2))
    return total / count if kind == "mean" else total


def _pad(image: Tensor, padding: Size) -> Tensor:
    above, before = pair(padding)
    channels, height, width = image.shape
    padded = image.new_zeros(channels, height + 2 * above, width + 2 * before)
    padded[:, above : above + height, before : before + width] = image
    return padded


def _size(image: Tensor) -> tuple[int, int]:
    if image.dim() != 3:
        raise UserError(f"the image has shape {tuple(image.shape)}; give (H, W) or (C, H, W).")
    return image.shape[1], image.shape[2]


def _check(image: Tensor, kernel: Tensor, channels: int) -> None:
    """Compare the image's channels with the kernel's dimension of that number."""
    shapes = f"an image of shape {tuple(image.shape)} and a kernel of shape {tuple(kernel.shape)}"
    if image.dim() != 3 or kernel.dim() != 4:
        raise UserError(f"{shapes} do not go together; give (H, W) with (kh, kw), or (C, H, W) with a kernel of four.")
    if len(image) != kernel.shape[channels]:
        raise UserError(f"{shapes} differ in channels: {len(image)} and {kernel.shape[channels]}.")
