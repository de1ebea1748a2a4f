"""The receptive field: the pixels of the image that one unit of a map depends on, found in two independent ways."""

from typing import Literal

from torch import nn

from cnnkit.errors import UserError
from cnnkit.inspection.geometry import Field, compute_field
from cnnkit.inspection.gradient_support import gradient_support
from cnnkit.inspection.trace import Call, Trace, trace
from cnnkit.layers.probing import image_shape
from cnnkit.sizes import ImageSize


def receptive_field(
    net: nn.Module,
    layer: str | None = None,
    method: Literal["recurrence", "gradient"] = "recurrence",
    image_size: ImageSize | None = None,
) -> Field:
    """The field of the units of one layer, on an unbounded image.

    Both methods are exact and know nothing of each other. The recurrence follows the operations of one forward pass
    (see `cnnkit.inspection.geometry`); the gradient method looks which pixels a gradient reaches (see
    `cnnkit.inspection.gradient_support`). Normalization is taken as if its means were constants. A net that resizes its
    images has fields in the resized pixels. Where padding depends on the image's size, as in TensorFlow's nets in timm,
    so does the field's place; its size does not.

    Args:
        net: any net for images.
        layer: name of a module as in ``net.named_modules()``; of one that runs more than once, the last run counts.
            By default the last layer whose output is a map.
        method: how to find it.
        image_size: pixels of the image that the net is run on, one number or (height, width); by default the net's
            ``image_size``, else 224. The field does not depend on it.

    Raises:
        UserError: there is no such layer, it is no map, or the net does something whose effect on fields is not known.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 5), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1))
        >>> receptive_field(net), receptive_field(net, method="gradient").size
        (Field(size=(10, 10), stride=(2, 2), first=(-2, -2)), (10, 10))
    """
    seen = trace(net, image_shape(net, image_size))
    name, field, run = _find(net, seen, layer)
    if method == "recurrence":
        return field
    return gradient_support(net, name, run, field, seen.image)


def find_layer(net: nn.Module, layer: str | None = None, image_size: ImageSize | None = None) -> tuple[str, Field, int]:
    """Of a layer, by default the last that gives a map: its name, its field, and how many times it runs.

    Raises:
        UserError: as `receptive_field`.
    """
    return _find(net, trace(net, image_shape(net, image_size)), layer)


def _find(net: nn.Module, seen: Trace, layer: str | None) -> tuple[str, Field, int]:
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
