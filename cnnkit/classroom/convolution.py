"""Convolution by its definition: plain loops over the positions of the kernel, for small examples.

The tests compare our layers with these functions, and you can check hand calculations with them. For real images use
torch's functions, which are far faster; each docstring names one. ``corr1d`` takes signals (L) or (C, L), ``corr2d``
images (H, W) or (C, H, W), ``corr3d`` volumes (D, H, W) or (C, D, H, W), all without a batch. Sizes are one number, or
one for each dimension. The result has the type of image and kernel, so uint8 overflows: convert it to float first.
Autograd works.
"""

from itertools import product

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.sizes import (
    Pad,
    PaddingMode,
    Size,
    check_padding,
    expand_size,
    output_size,
    split_same,
    transposed_output_size,
)


def corr1d(
    signal: Tensor, kernel: Tensor, stride: Size = 1, padding: Pad = 0, dilation: Size = 1, mode: PaddingMode = "zeros"
) -> Tensor:
    """Cross-correlate a signal: ``out[t]`` is the sum over a of ``kernel[a] * signal[t + a]``.

    A signal (L) goes with a kernel (k), a signal (C, L) with a kernel (O, C, k); all else is as in `corr2d`. In torch:
    `torch.nn.functional.conv1d`.

    Example:
        >>> corr1d(torch.tensor([0, 1, 2, 3, 4, 5, 6]), torch.tensor([1, 2])).tolist()
        [2, 5, 8, 11, 14, 17]
    """
    return _correlate(1, signal, kernel, stride, padding, dilation, mode)


def corr2d(
    image: Tensor, kernel: Tensor, stride: Size = 1, padding: Pad = 0, dilation: Size = 1, mode: PaddingMode = "zeros"
) -> Tensor:
    """Cross-correlate: lay the kernel on the image, multiply the values that meet, add the products, move the kernel.

    ``out[o, i, j]`` is the sum over c, a, b of ``kernel[o, c, a, b] * image[c, i s + a d - p, j s + b d - p]``, where
    the image is zero outside. Deep learning calls this a convolution: `torch.nn.functional.conv2d`.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (O, C, kh, kw).
        stride: s, pixels between two positions of the kernel.
        padding: p, pixels on every side of the image; ``valid`` is none, ``same`` keeps the size at stride 1.
        dilation: d, pixels between two weights of the kernel.
        mode: the values of the padding: zeros, the mirrored image (reflect), its edge (replicate), or its other side
            (circular).

    Returns:
        (H', W') or (O, H', W'); the sizes are those of `cnnkit.sizes.output_size`.

    Raises:
        UserError: the shapes do not match, or the kernel does not fit.

    Example:
        >>> image = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
        >>> corr2d(image, torch.tensor([[0, 1], [2, 3]])).tolist()  # 0*0 + 1*1 + 3*2 + 4*3 = 19
        [[19, 25], [37, 43]]
        >>> corr2d(image, torch.tensor([[0, 1], [2, 3]]), stride=(3, 2), padding=1).tolist()
        [[0, 8], [6, 8]]
    """
    return _correlate(2, image, kernel, stride, padding, dilation, mode)


def corr3d(
    volume: Tensor, kernel: Tensor, stride: Size = 1, padding: Pad = 0, dilation: Size = 1, mode: PaddingMode = "zeros"
) -> Tensor:
    """Cross-correlate a volume: the kernel also moves in depth.

    A volume (D, H, W) goes with a kernel (kd, kh, kw), a volume (C, D, H, W) with a kernel (O, C, kd, kh, kw); all else
    is as in `corr2d`. In torch: `torch.nn.functional.conv3d`.

    Example:
        >>> corr3d(torch.arange(27).view(3, 3, 3), torch.ones(2, 2, 2, dtype=torch.long)).flatten().tolist()
        [52, 60, 76, 84, 124, 132, 148, 156]
    """
    return _correlate(3, volume, kernel, stride, padding, dilation, mode)


def conv1d(signal: Tensor, kernel: Tensor, stride: Size = 1, padding: Pad = 0, dilation: Size = 1) -> Tensor:
    """Convolve a signal as in mathematics: ``(f * g)[t]`` is the sum over a of ``f[a] * g[t - a]``.

    With a padding of (kernel size - 1) the result has every sum in which f and g overlap (`numpy.convolve`), such as
    the coefficients of the product of two polynomials. Arguments, result and errors are those of `corr1d`.

    Example:
        >>> conv1d(torch.tensor([1, 2, 3]), torch.tensor([4, 5]), padding=1).tolist()  # (1 + 2x + 3x²)(4 + 5x)
        [4, 13, 22, 15]
    """
    return corr1d(signal, kernel.flip(-1), stride, padding, dilation)


def conv2d(image: Tensor, kernel: Tensor, stride: Size = 1, padding: Pad = 0, dilation: Size = 1) -> Tensor:
    """Convolve as in mathematics: correlate with the kernel rotated by 180 degrees.

    Then kernel and image can be swapped, and a single bright pixel becomes an image of the kernel. For a net the
    rotation makes no difference, because it learns its kernels. ``scipy.signal.convolve2d`` also rotates the kernel;
    torch's ``conv2d`` does not.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (O, C, kh, kw).
        stride: pixels between two positions of the kernel.
        padding: zeros on every side of the image; kernel size - 1 gives every sum in which both overlap.
        dilation: pixels between two weights of the kernel.

    Returns:
        (H', W') or (O, H', W').

    Raises:
        UserError: the shapes do not match, or the kernel does not fit.

    Example:
        >>> dot = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
        >>> conv2d(dot, torch.tensor([[1, 2], [3, 4]])).tolist()
        [[1, 2], [3, 4]]
        >>> corr2d(dot, torch.tensor([[1, 2], [3, 4]])).tolist()
        [[4, 3], [2, 1]]
    """
    return corr2d(image, kernel.flip(-2, -1), stride, padding, dilation)


def conv_transpose2d(image: Tensor, kernel: Tensor, stride: Size = 1, padding: Size = 0) -> Tensor:
    """Enlarge an image: every pixel adds a copy of the kernel, times its value, to the output.

    ``out[o, i s + a - p, j s + b - p]`` collects ``image[c, i, j] * kernel[c, o, a, b]`` over all c, i, j, a, b.
    `corr2d` is the product with a matrix; this function multiplies by the transposed matrix, as the gradient of
    `corr2d` does. It is also called deconvolution, but it does not invert a convolution. In torch:
    `torch.nn.functional.conv_transpose2d`.

    Args:
        image: (H, W), or (C, H, W).
        kernel: (kh, kw), or (C, O, kh, kw): the channels of the image come first.
        stride: s, pixels of the output between the copies of two neighbors.
        padding: p, pixels removed from every side of the output.

    Returns:
        (H', W') or (O, H', W'); see `cnnkit.sizes.transposed_output_size`.

    Raises:
        UserError: the shapes do not match, or the padding leaves nothing.

    Example:
        >>> image = kernel = torch.tensor([[0, 1], [2, 3]])
        >>> conv_transpose2d(image, kernel).tolist()
        [[0, 0, 1], [0, 4, 6], [4, 12, 9]]
        >>> conv_transpose2d(image, kernel, stride=2).tolist()
        [[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]
    """
    if image.dim() == kernel.dim() == 2:
        return conv_transpose2d(image[None], kernel[None, None], stride, padding)[0]
    _check(2, image, kernel, channels=0)
    (down, right), (above, before) = expand_size(stride, 2), expand_size(padding, 2)
    height, width = kernel.shape[2:]
    sizes = transposed_output_size(tuple(image.shape[1:]), (height, width), (above, before), (down, right))
    rows, columns = expand_size(sizes, 2)
    output = image.new_zeros(
        kernel.shape[1], rows + 2 * above, columns + 2 * before, dtype=torch.result_type(image, kernel)
    )
    for channel, weights in zip(image, kernel, strict=True):
        for i, j in product(*map(range, channel.shape)):
            output[:, i * down : i * down + height, j * right : j * right + width] += channel[i, j] * weights
    return output[:, above : above + rows, before : before + columns]


_SHAPES = (
    "(L) with (k), or (C, L) with a kernel of three",
    "(H, W) with (kh, kw), or (C, H, W) with a kernel of four",
    "(D, H, W) with (kd, kh, kw), or (C, D, H, W) with a kernel of five",
)


def _correlate(
    dimensions: int, image: Tensor, kernel: Tensor, stride: Size, padding: Pad, dilation: Size, mode: PaddingMode
) -> Tensor:
    if image.dim() == kernel.dim() == dimensions:
        return _correlate(dimensions, image[None], kernel[None, None], stride, padding, dilation, mode)[0]
    _check(dimensions, image, kernel, channels=1)
    check_padding(padding, stride, mode)
    reach, steps, apart = tuple(kernel.shape[2:]), expand_size(stride, dimensions), expand_size(dilation, dimensions)
    sizes = output_size(tuple(image.shape[1:]), reach, padding, steps, apart)
    padded = _pad(image, reach, padding, apart, mode)
    output = image.new_empty(len(kernel), *expand_size(sizes, dimensions), dtype=torch.result_type(image, kernel))
    for place in product(*(range(size) for size in output.shape[1:])):
        here = zip(place, steps, apart, reach, strict=True)
        taps = [slice(p * s, p * s + d * k, d) for p, s, d, k in here]
        index: tuple[slice | int, ...] = (slice(None), *place)
        output[index] = (kernel * padded[(slice(None), *taps)]).flatten(1).sum(1)
    return output


def _pad(image: Tensor, kernel: tuple[int, ...], padding: Pad, dilation: tuple[int, ...], mode: PaddingMode) -> Tensor:
    """Add pixels on both sides of every dimension."""
    for axis, (k, d) in enumerate(zip(kernel, dilation, strict=True)):
        pixels = 0 if padding == "valid" else padding
        before, after = split_same(k, d) if pixels == "same" else (expand_size(pixels, len(kernel))[axis],) * 2
        size = image.shape[axis + 1]
        if (mode == "reflect" and max(before, after) >= size) or (mode == "circular" and max(before, after) > size):
            raise UserError(f"padding {padding} is too much for {mode} of {size} pixels; give less, or another mode.")
        sources = [_find_source(index, size, mode) for index in range(-before, size + after)]
        picked = image.index_select(axis + 1, torch.tensor([max(source, 0) for source in sources]))
        outside = torch.tensor([source < 0 for source in sources]).view(-1, *(1,) * (len(kernel) - axis - 1))
        image = picked.masked_fill(outside, 0)
    return image


def _find_source(index: int, size: int, mode: PaddingMode) -> int:
    """Return the pixel for an index that may lie outside the image; -1 stands for a zero."""
    if mode == "zeros":
        return index if 0 <= index < size else -1
    if mode == "replicate":
        return min(max(index, 0), size - 1)
    if mode == "circular":
        return index % size
    return size - 1 - abs(size - 1 - abs(index))  # mirrored at the centers of the first and the last pixel


def _check(dimensions: int, image: Tensor, kernel: Tensor, channels: int) -> None:
    """Check the number of dimensions, and the image's channels against the kernel's dimension ``channels``."""
    shapes = f"an image of shape {tuple(image.shape)} and a kernel of shape {tuple(kernel.shape)}"
    if image.dim() != dimensions + 1 or kernel.dim() != dimensions + 2:
        raise UserError(f"{shapes} do not match; give {_SHAPES[dimensions - 1]}.")
    if len(image) != kernel.shape[channels]:
        raise UserError(f"{shapes} differ in channels: {len(image)} and {kernel.shape[channels]}.")
