"""The effect of each operation of torch on the fields of its inputs; see `cnnkit.inspection.geometry`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cnnkit.inspection.geometry import PIXEL, Factor, Geometry, LostTrackError, image_geometry, merge

Lookup = Callable[[Tensor], Geometry | None]


def follow(func: Any, args: Sequence[Any], kwargs: dict[str, Any], out: Tensor, of: Lookup) -> Geometry | None:
    """Compute the geometry of an operation's result; None if it does not depend on the image.

    Args:
        func: the operation, an ``OpOverload`` of ATen.
        args: its arguments.
        kwargs: its named arguments.
        out: its result; one of them, where there are several.
        of: gives the geometry of a tensor, None for weights and other constants.

    Raises:
        LostTrackError: the effect of the operation is not known.
    """
    name, shape = str(func.overloadpacket).removeprefix("aten."), tuple(out.shape)
    values = [part for value in (*args, *kwargs.values()) for part in (value if isinstance(value, list) else [value])]
    found = [geometry for value in values if isinstance(value, Tensor) and (geometry := of(value)) is not None]
    if not found:
        return None
    if torch.Tag.pointwise in func.tags:
        return merge(found, shape)
    if name == "cat":
        return _cat(found, shape, *args[1:], **kwargs)
    if name in ("addmm", "mm", "bmm"):
        return _product(of(args[1] if name == "addmm" else args[0]), found, shape)
    if of(args[0]) is None or len(found) > 1:
        raise LostTrackError
    if name in _SAME and tuple(args[0].shape) == shape:
        return found[0]
    if name in _RULES:
        return _RULES[name](found[0], shape, *args[1:], **kwargs)
    if "upsample" in name and found[0].spans == (PIXEL, PIXEL):
        return image_geometry(out)  # the net resizes its images: from here on the pixels are those that it made
    raise LostTrackError


def _slide(
    g: Geometry, shape: tuple[int, ...], kernel: Sequence[int], stride: Any, padding: Any, dilation: Any = 1
) -> Geometry:
    """A window over the last dimensions."""
    count = len(kernel)
    steps = zip(kernel, *(_each(value, count) for value in (stride, padding, dilation)), strict=True)
    for dim, (k, s, p, d) in enumerate(steps, start=len(shape) - count):
        g = g.with_axis(dim, shape[dim], lambda span, k=k, s=s, p=p, d=d: span.window(k, s, p, d))  # type: ignore[misc]
    return g


def _convolution(
    g: Geometry,
    shape: tuple[int, ...],
    weight: Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
) -> Geometry:
    if transposed or g.axis(1) is not None:
        raise LostTrackError
    return _slide(g.with_axis(1, shape[1], lambda span: span), shape, weight.shape[2:], stride, padding, dilation)


def _max_pool(
    g: Geometry, shape: tuple[int, ...], kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, *_: Any
) -> Geometry:
    kernel = _each(kernel, 2)
    return _slide(g, shape, kernel, stride or kernel, padding, dilation)


def _avg_pool(
    g: Geometry, shape: tuple[int, ...], kernel: Sequence[int], stride: Any = (), padding: Any = 0, *_: Any
) -> Geometry:
    return _slide(g, shape, kernel, stride or kernel, padding)


def _pad(g: Geometry, shape: tuple[int, ...], padding: Sequence[int], *_: Any) -> Geometry:
    for back, before in enumerate(padding[::2], start=1):
        g = g.with_axis(len(shape) - back, shape[-back], lambda span, n=before: span.shift(-n))  # type: ignore[misc]
    return g


def _slice(
    g: Geometry, shape: tuple[int, ...], dim: int = 0, start: int | None = None, end: Any = None, step: int = 1
) -> Geometry:
    size = math.prod(size for size, _ in g.dims[dim])
    start = max(start + size if start and start < 0 else start or 0, 0)
    if (start, step, size) == (0, 1, shape[dim]):
        return g
    return g.with_axis(dim % len(shape), shape[dim], lambda span: span.shift(start).window(1, step, 0, 1))


def _reduce(
    g: Geometry, shape: tuple[int, ...], dims: Any = None, keepdim: bool = False, *_: Any, **__: Any
) -> Geometry:
    count = len(g.dims)
    gone = {dim % count for dim in (_each(dims, 1) if dims not in (None, []) else range(count))}
    g = g.reduce(sorted(gone))
    return g if keepdim else replace(g, dims=tuple(factors for dim, factors in enumerate(g.dims) if dim not in gone))


def _view(g: Geometry, shape: tuple[int, ...], *_: Any) -> Geometry:
    """The same values in other dimensions: parts of the old ones, combined in a new way."""
    factors = [factor for dim in g.dims for factor in dim if factor != (1, None)]
    dims: list[tuple[Factor, ...]] = []
    for size in shape:
        left, taken = size, list[Factor]()
        while factors and (left > 1 or (size == 1 and factors[0][0] == 1 and not taken)):
            part, axis = factors.pop(0)
            if left % part == 0:
                taken.append((part, axis))
                left //= part
            elif axis is None and part % left == 0:
                taken.append((left, None))
                factors.insert(0, (part // left, None))
                left = 1
            else:
                raise LostTrackError
        dims.append(tuple(taken) or ((size, None),))
    return replace(g, dims=tuple(dims))


def _permute(g: Geometry, shape: tuple[int, ...], order: Sequence[int]) -> Geometry:
    return replace(g, dims=tuple(g.dims[dim] for dim in order))


def _transpose(g: Geometry, shape: tuple[int, ...], one: int = 0, other: int = 1) -> Geometry:
    dims = list(g.dims)
    dims[one], dims[other] = dims[other], dims[one]
    return replace(g, dims=tuple(dims))


def _as_strided(g: Geometry, shape: tuple[int, ...], *_: Any) -> Geometry:
    """What global pooling does to channels_last maps of one pixel."""
    if g.moving:
        raise LostTrackError
    return g


def _unsqueeze(g: Geometry, shape: tuple[int, ...], dim: int) -> Geometry:
    dims = list(g.dims)
    dims.insert(dim % len(shape), ((1, None),))
    return replace(g, dims=tuple(dims))


def _split(g: Geometry, shape: tuple[int, ...], sizes: Any, dim: int = 0) -> Geometry:
    if any(axis is not None for _, axis in g.dims[dim]):
        raise LostTrackError
    return g.with_axis(dim % len(shape), shape[dim], lambda span: span)


def _cat(found: Sequence[Geometry], shape: tuple[int, ...], tensors: Any = None, dim: int = 0) -> Geometry:
    return merge([_split(g, shape, None, dim) for g in found], shape)


def _product(left: Geometry | None, found: Sequence[Geometry], shape: tuple[int, ...]) -> Geometry:
    """A matrix (..., n, m) of values times one of weights: each sum runs over the last dimension."""
    if left is None or len(found) > 1:
        raise LostTrackError
    summed = left.reduce([len(left.dims) - 1])
    return replace(summed, dims=(*summed.dims[:-1], ((shape[-1], None),)))


def _each(value: Any, count: int) -> list[int]:
    values = list(value) if isinstance(value, Sequence) else [value]
    return values * count if len(values) == 1 else values


# Normalization is taken as if its means were constants; adaptive pooling is followed where it changes nothing, since
# elsewhere its windows depend on the image's size.
_SAME = {
    *("_to_copy", "alias", "clone", "contiguous", "detach", "_adaptive_avg_pool2d", "adaptive_max_pool2d"),
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_with_update", "cudnn_batch_norm"),
    *("native_group_norm", "native_layer_norm", "_fused_rms_norm"),
    *("hardswish", "hardswish_", "mish_", "prelu", "_prelu_kernel"),  # torch does not call them pointwise
}
_RULES: dict[str, Callable[..., Geometry]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _avg_pool,
    "avg_pool3d": _avg_pool,
    "constant_pad_nd": _pad,
    "reflection_pad2d": _pad,
    "replication_pad2d": _pad,
    "slice": _slice,
    "mean": _reduce,
    "sum": _reduce,
    "amax": _reduce,
    "view": _view,
    "_unsafe_view": _view,
    "_reshape_alias": _view,
    "squeeze": _view,
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "unsqueeze": _unsqueeze,
    "as_strided_": _as_strided,
    "split": _split,
    "split_with_sizes": _split,
}
