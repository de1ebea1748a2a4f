"""The receptive field: the pixels of the image that one unit of a map depends on.

In theory, from the net's operations; and effectively, from its gradients: Luo, Li, Urtasun & Zemel 2016, arXiv
1701.04128. How much the pixels really change a unit is nearly a Gaussian, much smaller than the field itself.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnnkit.errors import UserError
from cnnkit.files import replacing
from cnnkit.inspection.geometry import Field, compute_field
from cnnkit.inspection.trace import Call, trace
from cnnkit.layers.probing import as_plain_code, image_shape
from cnnkit.sizes import ImageSize

LARGEST = 256  # pixels of the image; of larger fields a part is shown


def receptive_field(net: nn.Module, layer: str | None = None, image_size: ImageSize | None = None) -> Field:
    """Compute the field of the units of one layer, on an unbounded image.

    The method follows the operations of one forward pass, see `cnnkit.inspection.geometry`. Normalization is treated
    as if its means were constants. A net that resizes its images has fields in the resized pixels. Where padding
    depends on the image's size, as in TensorFlow's nets in timm, the field's place does too; its size does not.

    Args:
        layer: name of a module as in ``net.named_modules()``; if it runs more than once, the last run counts.
            By default the last layer whose output is a map.
        image_size: pixels of the image that the net is run on, one number or (height, width); by default the net's
            ``image_size``, else 224. The field does not depend on it.

    Raises:
        UserError: there is no such layer, it is no map, or the net does something whose effect on fields is not known.

    Example:
        >>> receptive_field(nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1)))
        Field(size=(10, 10), stride=(2, 2), first=(-2, -2))
    """
    return find_layer(net, layer, image_size)[1]


def find_layer(net: nn.Module, layer: str | None = None, image_size: ImageSize | None = None) -> tuple[str, Field, int]:
    """Find a layer, by default the last one that gives a map: its name, its field, and how many times it runs.

    Raises:
        UserError: as `receptive_field`.
    """
    seen = trace(net, image_shape(net, image_size))
    kind = type(net).__name__
    maps = [call for call in seen.calls if _may_be_map(call)]
    calls = [call for call in seen.calls if call.name == layer] if layer is not None else maps
    if not calls:
        known = ", ".join(dict.fromkeys(call.name for call in maps if call.name)) or "none"
        what = f"{kind} runs no layer {layer!r}" if layer is not None else f"{kind} has no layer that gives a map"
        raise UserError(f"{what}; those that give one: {known}")
    call = calls[-1]
    if call.geometry is None:
        raise UserError(f"{call.name} of {kind} comes after something whose effect on receptive fields is not known")
    field = compute_field(call.geometry)
    if field.stride is None:
        raise UserError(f"{call.name} of {kind} gives no map (C, H, W) but {call.shape}; name a layer before it")
    return call.name, field, sum(other.name == call.name for other in seen.calls)


def _may_be_map(call: Call) -> bool:
    if call.geometry is None:
        return len(call.shape) == 3 and call.shape[1:] != (1, 1)
    return compute_field(call.geometry).stride is not None


def effective_receptive_field(
    net: nn.Module,
    layer: str | None = None,
    images: int = 16,
    image_size: ImageSize | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Compute the mean size of the gradient of a layer's middle unit, with the net's own weights.

    Args:
        net: any net for images, trained or not.
        layer: as in `receptive_field`.
        images: number of images: white noise, as large as the layer's field, at most 256 pixels.
        image_size: as in `receptive_field`.
        seed: of the noise.

    Returns:
        Float64 (H, W), 1 at the pixel that counts most; the unit is the sum over the channels.

    Raises:
        UserError: as in `receptive_field`, or the net does not take images as large as the field.
    """
    name, field, run = find_layer(net, layer, image_size)
    channels, *own = image_shape(net, image_size)
    units, shape = zip(*(_middle(field, axis, own[axis]) for axis in (0, 1)), strict=True)
    weight = next(net.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(shape, dtype=torch.float64)
    with as_plain_code(net), torch.enable_grad(), _WithoutResizing():
        for _ in range(images):
            noise = torch.randn(1, channels, *shape, generator=generator).to(weight).requires_grad_()
            maps = run_until(net, name, run, noise)
            row, column = (min(unit, size - 1) for unit, size in zip(units, maps.shape[2:], strict=True))
            (gradient,) = torch.autograd.grad(maps[0, :, row, column].sum(), noise)
            total += gradient[0].double().abs().sum(0).cpu()
    peak = float(total.max())
    return np.asarray((total / peak if peak else total).numpy())


def effective_size(gradient: np.ndarray) -> float:
    """Return the side, in pixels, of a square as large as the part where the gradient is more than 4.55 % of its peak.

    The measure is the paper's.

    Example:
        >>> distances = np.arange(-9, 10) ** 2
        >>> round(effective_size(np.exp(-np.add.outer(distances, distances) / 8)), 2)
        8.31
    """
    return float((gradient > (1 - 0.9545) * gradient.max()).sum() ** 0.5)


def draw_effective_field(gradient: np.ndarray, path: Path, title: str) -> None:
    """Write a picture of an effective field; its frame is the theoretical field if all of that is shown.

    Args:
        gradient: what `effective_receptive_field` gave.
        path: a PNG file, or another format that matplotlib writes, by its suffix.
        title: such as the layer's name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes: Any = figure.add_subplot()
    shown = axes.imshow(gradient, cmap="magma", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes, label="size of the gradient, of its peak")
    height, width = gradient.shape
    axes.set_title(f"{title}\n{height}x{width} pixels shown, effectively {effective_size(gradient):.0f} across")
    axes.set_xlabel("pixels")
    with replacing(path, "wb") as file:
        figure.savefig(file, format=path.suffix.removeprefix(".") or "png", dpi=120)


def _middle(field: Field, axis: int, own: int) -> tuple[int, int]:
    """Return the unit to look at in one direction, and the pixels of the image."""
    assert field.stride is not None
    if not math.isinf(field.size[axis]):
        unit, pixels = place_unit(field, axis, margin=0)
        if pixels <= LARGEST:
            return unit, pixels
    pixels = own if math.isinf(field.size[axis]) else LARGEST
    return pixels // field.stride[axis] // 2, pixels


def place_unit(field: Field, axis: int, margin: int = 1) -> tuple[int, int]:
    """Find, in one direction, the first unit whose field lies inside the image, and the pixels that this image needs.

    Args:
        field: a field of finite size.
        axis: 0 for rows, 1 for columns.
        margin: pixels of the image on both sides of the field.
    """
    assert field.stride is not None
    unit = max(0, math.ceil((margin - field.first[axis]) / field.stride[axis]))
    return unit, int(field.first[axis] + unit * field.stride[axis] + field.size[axis]) + margin


class _LayerReached(Exception):
    pass


def run_until(net: nn.Module, layer: str, run: int, images: Tensor) -> Tensor:
    """Run a net until a layer has run ``run`` times, and return its output.

    The layers after it do not run, so the images may have any size.
    """
    outputs: list[Tensor] = []

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        outputs.append(output)
        if len(outputs) == run:
            raise _LayerReached

    handle = net.get_submodule(layer).register_forward_hook(hook)
    try:
        net(images)
    except _LayerReached:
        pass
    except (RuntimeError, AssertionError) as error:
        size = "x".join(map(str, images.shape[1:]))
        raise UserError(f"{type(net).__name__} takes no images of {size}, as its field needs: {error}") from error
    finally:
        handle.remove()
    return outputs[-1]


class _WithoutResizing(TorchFunctionMode):
    """Makes `torch.nn.functional.interpolate` return its input: fields are those in the resized pixels."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return (args or [kwargs["input"]])[0] if func is F.interpolate else func(*args, **kwargs)
