"""Sizes of images, and how a window that slides over an image changes them.

A size is one number, or one number for each direction: (height, width), or (depth, height, width). One number among
tuples stands for all directions. The words are those of `torch.nn.Conv2d`; what torch would refuse later is refused
here, with a remedy. Standard library only.
"""

from collections.abc import Callable
from typing import Literal, get_args, overload

from cnnkit.errors import UserError

ImageSize = int | tuple[int, int]
Size = int | tuple[int, ...]
Padding = int | Literal["same", "valid"]
Pad = Size | Literal["same", "valid"]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

DEFAULT_IMAGE_SIZE = 224  # pixels of the image on which a net without an `image_size` is run


def as_height_width(image_size: ImageSize) -> tuple[int, int]:
    """Give an image size as (height, width): an int stands for a square image.

    Raises:
        UserError: the size is not one or two positive numbers, at most 100,000.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) != 2 or min(size) < 1 or max(size) > 100_000:
        raise UserError(
            f"image_size is {image_size!r}; give one positive number of pixels, at most 100,000, or (height, width)."
        )
    return size[0], size[1]


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


def as_pair(size: Size) -> tuple[int, ...]:
    """Return (height, width) for one number; a tuple stays unchanged.

    Example:
        >>> as_pair(3), as_pair((3, 5))
        ((3, 3), (3, 5))
    """
    return expand_size(size, 2) if isinstance(size, int) else size


def count_places(i: int, k: int, p: int = 0, s: int = 1, d: int = 1, ceil_mode: bool = False) -> int:
    """Count the places of a window in one direction: floor((i + 2p - d (k - 1) - 1) / s) + 1; 0 if it does not fit.

    Args:
        i: the input, in pixels.
        k: the window, in pixels.
        p: padding on both sides.
        s: stride.
        d: dilation.
        ceil_mode: count a last window that reaches over the edge, unless it starts in the padding, as torch does.

    Example:
        >>> count_places(28, 5), count_places(7, 2, s=2), count_places(7, 2, s=2, ceil_mode=True), count_places(2, 3)
        (24, 3, 4, 0)
    """
    room = i + 2 * p - d * (k - 1) - 1
    if room < 0:
        return 0
    count = (-(-room // s) if ceil_mode else room // s) + 1
    return count - (ceil_mode and (count - 1) * s >= i + p)


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


def check_padding(padding: object, stride: object = 1, padding_mode: str = "zeros") -> None:
    """Check a padding before a layer is built from it.

    Args:
        padding: a number of pixels, one for each side, or a word.
        stride: a number of pixels, or one for each direction.
        padding_mode: a word.

    Raises:
        UserError: padding or mode is unknown, or ``same`` comes with a stride above 1.
    """
    if padding_mode not in get_args(PaddingMode):
        raise UserError(f"padding_mode {padding_mode!r} is unknown; choose one of {', '.join(get_args(PaddingMode))}.")
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise UserError(f"padding {padding!r} is unknown; give a number of pixels, same or valid.")
    pixels = padding if isinstance(padding, (tuple, list)) else (padding,)
    if any(isinstance(n, int) and n < 0 for n in pixels):
        raise UserError(f"padding is {padding}; give 0 or more pixels, same or valid.")
    steps = stride if isinstance(stride, (tuple, list)) else (stride,)
    if padding == "same" and any(step != 1 for step in steps):
        raise UserError(f"padding 'same' keeps the size at stride 1, and stride is {stride}; give a number of pixels.")


def split_same(kernel_size: int, dilation: int = 1) -> tuple[int, int]:
    """Pixels before and after the image that ``same`` adds in one direction; torch puts the odd one after it.

    Example:
        >>> split_same(3), split_same(4), split_same(4, dilation=2)
        ((1, 1), (1, 2), (3, 3))
    """
    total = dilation * (kernel_size - 1)
    return total // 2, total - total // 2


def check_at_least(least: int, **numbers: int) -> None:
    """Refuse the first number that is too small, by its name.

    Raises:
        UserError: a number is smaller.
    """
    for name, number in numbers.items():
        if number < least:
            raise UserError(f"{name} is {number}; give at least {least}.")


def _compute_output(i: int, k: int, p: int, s: int, d: int) -> int:
    check_at_least(1, i=i, k=k, s=s, d=d)
    check_at_least(0, p=p)
    if count := count_places(i, k, p, s, d):
        return count
    reach = d * (k - 1) + 1
    raise UserError(
        f"a window of {reach} pixels does not fit into {i} with a padding of {p}; "
        f"give at least {reach - 2 * p} pixels, more padding or a smaller kernel."
    )


def _compute_transposed(i: int, k: int, p: int, s: int, d: int, extra: int) -> int:
    check_at_least(1, i=i, k=k, s=s, d=d)
    check_at_least(0, p=p, extra=extra)
    if extra >= max(s, d):
        raise UserError(f"extra is {extra}; it must be less than stride {s} or dilation {d}, whichever is larger.")
    size = s * (i - 1) + d * (k - 1) + 1 - 2 * p + extra
    if size < 1:
        raise UserError(f"a padding of {p} leaves nothing of {size + 2 * p} pixels; give less padding.")
    return size


def _apply_by_side(rule: Callable[..., int], *sizes: Size) -> Size:
    """Apply a rule for one dimension to each dimension, or once if all sizes are one number."""
    counts = [len(size) for size in sizes if not isinstance(size, int)]
    if not counts:
        return rule(*sizes)
    return tuple(rule(*side) for side in zip(*(expand_size(size, max(counts)) for size in sizes), strict=True))
