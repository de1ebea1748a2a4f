"""Images that a caller gives, in any of several forms, to uint8 batches of the net's size."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnnkit.data.images.decode import convert_image, read_image
from cnnkit.data.images.listing import describe_passed_over, scan_images
from cnnkit.data.images.source import EncodedImage
from cnnkit.errors import UserError
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.notices import say

Pixels = np.ndarray | Tensor
ImageInput = str | Path | EncodedImage | Image.Image | Pixels
Batch = tuple[list[str], Tensor]

_FORMS = "file names, PIL images, uint8 arrays (H, W, C) or uint8 tensors (C, H, W)"


def read_batches(images: ImageInput | Iterable[ImageInput], data: Preprocessing, batch_size: int) -> Iterator[Batch]:
    """Yield the names and the pixels, uint8 (B, C, H, W), of images at the net's size.

    Args:
        images: one image or several: names of files or of folders, files in memory (`EncodedImage`), PIL images, NumPy
            arrays or tensors of uint8, see `stack_pixels`; in a list the forms may be mixed.
        data: how the net's images are prepared.
        batch_size: images at a time.

    Raises:
        UserError: an image has another form or type, a file is missing or cannot be read, or there is no image.
    """
    if isinstance(images, (np.ndarray, Tensor)):
        stacked = stack_pixels(images)
        if tuple(stacked.shape[1:]) == (data.in_channels, *data.size):
            for start in range(0, len(stacked), batch_size):
                chunk = stacked[start : start + batch_size].contiguous()
                yield [f"image {start + k}" for k in range(len(chunk))], chunk
            return
        images = list(stacked)
    items = list(_list_items(images))
    if not items:
        raise UserError(f"no images: give {_FORMS}")
    with ThreadPoolExecutor(min(8, batch_size)) as pool:
        waiting = iter(items)
        while chosen := list(islice(waiting, batch_size)):
            found = list(pool.map(lambda item: read_pixels(item[1], data), chosen))
            yield [name for name, _ in chosen], torch.stack(found)


def stack_pixels(images: Pixels) -> Tensor:
    """Return an array or tensor of one image or several as uint8 (N, C, H, W).

    Args:
        images: an array (H, W), (H, W, C) or (N, H, W, C), or a tensor (H, W), (C, H, W) or (N, C, H, W), of uint8; 1
            or 3 channels, gray or RGB.

    Raises:
        UserError: another type or shape, with what to do.

    Example:
        >>> stack_pixels(np.zeros((5, 4, 3), np.uint8)).shape, stack_pixels(torch.zeros(5, 4, dtype=torch.uint8)).shape
        (torch.Size([1, 3, 5, 4]), torch.Size([1, 1, 5, 4]))
    """
    is_array = isinstance(images, np.ndarray)
    kind, shape = "array" if is_array else "tensor", tuple(images.shape)
    if images.dtype not in (np.dtype("uint8"), torch.uint8):
        scaled = "array.round().astype('uint8')" if is_array else "tensor.round().to(torch.uint8)"
        raise UserError(
            f"the {kind} holds {str(images.dtype).removeprefix('torch.')}, whose range is not known: give uint8 pixels "
            f"from 0 to 255 ({scaled} of values in that range), not normalized"
        )
    if len(shape) == 2:
        images = images[..., None] if is_array else images[None]
    channels = images.shape[-1 if is_array else -3] if images.ndim >= 3 else 0
    if images.ndim not in (3, 4) or channels not in (1, 3):
        raise UserError(f"the {kind} has the shape {shape}: {_explain_shape(shape, is_array)}")
    if 0 in images.shape:
        raise UserError(f"the {kind} has the shape {shape}: there is no image in it")
    stacked = images if images.ndim == 4 else images[None]
    if isinstance(stacked, np.ndarray):
        return torch.from_numpy(np.require(stacked, requirements=["C", "W"])).permute(0, 3, 1, 2)
    return stacked.cpu()


def _explain_shape(shape: tuple[int, ...], is_array: bool) -> str:
    """What a shape should be, and how to get there from a common mistake."""
    forms = "(H, W), (H, W, C) or (N, H, W, C)" if is_array else "(H, W), (C, H, W) or (N, C, H, W)"
    wanted = f"give {forms} with 1 or 3 channels"
    if len(shape) not in (3, 4):
        return wanted
    first, last = shape[-3], shape[-1]
    if is_array and first in (1, 3):
        axes = (1, 2, 0) if len(shape) == 3 else (0, 2, 3, 1)
        return f"{wanted}; channels come last in an array: array.transpose{axes}"
    if not is_array and last in (1, 3):
        axes = (2, 0, 1) if len(shape) == 3 else (0, 3, 1, 2)
        return f"{wanted}; channels come first in a tensor: tensor.permute{axes}"
    if (last if is_array else first) == 4:
        return f"{wanted}; for transparency or CMYK give a PIL image, whose mode says which it is"
    return f"{wanted}; several gray images need a channel: {'array[..., None]' if is_array else 'tensor[:, None]'}"


def _list_items(images: Any) -> Iterator[tuple[str, Any]]:
    """Yield a name for each image, and the image: a path, a PIL image, or pixels (C, H, W)."""
    several = isinstance(images, Iterable) and not isinstance(images, (str, Path, Image.Image, bytes, dict))
    for number, image in enumerate(images if several else [images]):
        if isinstance(image, (str, Path)):
            yield from ((str(file), file) for file in _list_files(image))
        elif isinstance(image, EncodedImage):
            yield image.name, image
        elif isinstance(image, Image.Image):
            yield str(getattr(image, "filename", "") or f"image {number}"), image
        elif isinstance(image, (np.ndarray, Tensor)):
            stacked = stack_pixels(image)
            if len(stacked) > 1:
                raise UserError(f"image {number} of the list has the shape {tuple(image.shape)}: give one image each")
            yield f"image {number}", stacked[0]
        else:
            raise UserError(f"image {number} is a {type(image).__name__}: give {_FORMS}")


def _list_files(path: str | Path) -> Sequence[Path]:
    scanned = scan_images(path)
    if line := describe_passed_over(scanned.passed_over, str(path)):
        say(line)
    return scanned.files


def read_pixels(image: Path | EncodedImage | Image.Image | Tensor, data: Preprocessing) -> Tensor:
    """Bring one image to the net's size, uint8 (C, H, W), as it is before normalization.

    Args:
        image: a file, on the disk or in memory, a PIL image, or pixels (C, H, W).
        data: how the net's images are prepared.

    Raises:
        UnreadableImage: the file cannot be read as an image.
    """
    if isinstance(image, (Path, EncodedImage)):
        return read_image(image, data.in_channels, data.size, data.resize, data.max_pixels)
    if isinstance(image, Tensor):
        if tuple(image.shape) == (data.in_channels, *data.size):
            return image.contiguous()
        image = Image.fromarray(image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy())
    return convert_image(image, data.in_channels, data.size, data.resize)
