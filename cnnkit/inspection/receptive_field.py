"""The receptive field: the pixels of the image that one unit of a map depends on."""

from torch import nn

from cnnkit.errors import UserError
from cnnkit.inspection.geometry import Field, compute_field
from cnnkit.inspection.trace import Call, trace
from cnnkit.layers.probing import image_shape
from cnnkit.sizes import ImageSize


def receptive_field(net: nn.Module, layer: str | None = None, image_size: ImageSize | None = None) -> Field:
    """The field of the units of one layer, on an unbounded image.

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
