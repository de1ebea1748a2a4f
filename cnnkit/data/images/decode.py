"""Image files of any kind to uint8 tensors of one shape.

It is written for unchecked files. The content, and not the suffix, decides the format; the size in the
header is checked before a pixel is decoded; large images are decoded in bands of rows; every error names the file.
"""

import importlib.metadata
import re
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from cnnkit.data.images import tiff
from cnnkit.data.images.bands import WholeBands, open_bands
from cnnkit.data.images.flattening import Flattening, find_transparency
from cnnkit.data.images.formats import COMMON_FORMATS, MAX_PIXELS, explain_unread, find_formats, has_heif, read_head
from cnnkit.data.images.resizing import Resize, reduce_bands, resize_bands
from cnnkit.data.images.source import EncodedImage, Source, as_file
from cnnkit.errors import UserError

__all__ = ["MAX_PIXELS", "Resize", "TooManyPixels", "UnreadableImage", "describe_decoder", "read_image"]

VERSION = 1  # of the pixels that `read_image` makes of a content: a change of any of them needs another number


class UnreadableImage(UserError):
    """A file that cannot be read as an image; the message is one line with the path and the reason."""

    def __init__(self, path: str | Source, reason: str) -> None:
        # The base class needs both arguments, so that a worker process can send the error.
        super().__init__(str(path), " ".join(reason.split()))

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class TooManyPixels(UnreadableImage):
    """An image that has more pixels than the caller allows."""


def read_image(
    path: str | Source,
    channels: int,
    size: tuple[int, int] | None,
    resize: Resize = "crop",
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """Read an image file as uint8 (C, H, W), with its EXIF orientation applied.

    CMYK, YCbCr, LAB and palettes become RGB, or gray by the weights of ITU-R 601-2; color profiles are ignored.
    Transparent pixels are blended with white. Only the first frame or page is read. Pixels of more than eight bits are
    scaled down, never clipped; see `find_scale`. If the result is much smaller than the image, decoding takes at most
    200 MB, and in proportion more if `max_pixels` is above its default.

    Args:
        path: the file, of any format that `find_formats` knows, with any suffix; or its content in memory.
        channels: 3 for RGB, 1 for gray.
        size: height and width of the result; None: those of the image.
        resize: how to get that size, by antialiased bilinear interpolation: ``crop`` scales the image until it covers
            the size and keeps the center, ``squash`` changes the aspect ratio, ``pad`` scales it until it fits and
            adds black borders.
        max_pixels: refuse images with more pixels, by their header.

    Raises:
        UnreadableImage: the file is missing, empty, truncated, no image, too large, or of a kind that Pillow misreads.
    """
    _check_channels(channels)
    file = path if isinstance(path, EncodedImage) else Path(path)
    try:
        with _open(file, max_pixels) as image:
            return _read(image, file, channels, size, resize, max_pixels)
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise TooManyPixels(path, f"has more pixels than max_pixels, {max_pixels}") from None
    except Exception as error:  # decoders raise many kinds of errors
        raise UnreadableImage(path, _explain(error)) from None


def convert_image(image: Image.Image, channels: int, size: tuple[int, int], resize: Resize = "crop") -> Tensor:
    """Convert an image that Pillow holds to uint8 (C, H, W), as `read_image` does with a file of the same pixels.

    A JPEG file that is at least twice the size is read as a smaller one, so its pixels differ a little from those here.
    """
    _check_channels(channels)
    bands, orientation = WholeBands(image), _find_orientation(image, decoded=True)
    wanted = size[::-1] if 5 <= orientation <= 8 else size
    flatten = Flattening(bands, tiff.PixelKind())
    return _to_tensor(resize_bands(bands, flatten, _choose_mode(channels), bands.size, wanted, resize), orientation)


def describe_decoder() -> str:
    """Name everything but the arguments of `read_image` that decides which pixels it makes of a content."""
    heif = f", pillow-heif {importlib.metadata.version('pillow-heif')}" if has_heif() else ""
    return f"cnnkit {VERSION}, Pillow {PIL.__version__}{heif}"


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}: give 3 for color or 1 for gray")


def _choose_mode(channels: int) -> str:
    return "L" if channels == 1 else "RGB"


_EARLY = re.compile(
    "truncated|unexpected end|broken data stream|not enough image data|could not create decoder|EOF", re.IGNORECASE
)


def _explain(error: Exception) -> str:
    """Use one sentence for the most common error, which has other words in each decoder."""
    text = str(error) or type(error).__name__
    return f"the file ends too early, or is damaged ({text})" if _EARLY.search(text) else text


def _open(path: Source, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image and read its header; nothing is decoded."""
    _check_file(path)
    head, suffix = read_head(path), path.suffix.lower()
    formats = find_formats(head, suffix)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # else Pillow refuses images that the user allows
    try:
        if not formats:
            raise UnidentifiedImageError
        image = Image.open(as_file(path), formats=formats)
    except UnidentifiedImageError:
        reason = explain_unread(head, suffix) or (tiff.explain_unread(path) if "TIFF" in formats else None)
        if formats:
            reason = reason or f"looks like {' or '.join(formats)}, but its header is broken"
        raise UnreadableImage(path, reason or f"not an image of a known format ({COMMON_FORMATS})") from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise TooManyPixels(path, f"{width}x{height} pixels are more than max_pixels, {max_pixels}")
    return image


def _read(
    image: ImageFile.ImageFile,
    path: Source,
    channels: int,
    size: tuple[int, int] | None,
    resize: Resize,
    max_pixels: int,
) -> Tensor:
    mode = _choose_mode(channels)
    kind, transparency = tiff.find_kind(image), find_transparency(image)
    # A JPEG is decoded at 1/2, 1/4 or 1/8 if that is at least twice the size: it is faster, and as good.
    draft = image.draft(None, (2 * max(size), 2 * max(size))) if size and image.format in ("JPEG", "MPO") else None
    bands = open_bands(image, path, size, max_pixels)
    flatten = Flattening(bands, kind, transparency)
    orientation = _find_orientation(image, decoded=isinstance(bands, WholeBands))
    if size is None:
        flat = reduce_bands(bands, flatten, mode, (1, 1), (0, 0, *bands.size))
    else:
        # The last row and column of a draft may cover fewer pixels than the others, so its extent is a fraction.
        extent = draft[1][2:] if draft else bands.size
        is_sideways = 5 <= orientation <= 8  # width and height change places
        flat = resize_bands(bands, flatten, mode, extent, size[::-1] if is_sideways else size, resize)
    return _to_tensor(flat, orientation)


def _to_tensor(flat: Image.Image, orientation: int) -> Tensor:
    """Return gray or RGB pixels upright, uint8 (C, H, W)."""
    if orientation != 1:
        flat.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(flat, in_place=True)
    pixels = torch.from_numpy(np.array(flat))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _check_file(path: Source) -> None:
    if isinstance(path, EncodedImage):
        if not path.content:
            raise UnreadableImage(path, "an empty file")
        return
    try:
        status = path.stat()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        raise UnreadableImage(path, "a link to nothing" if dangling else str(error.strerror).lower()) from None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would block
        raise UnreadableImage(path, "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file")
    if status.st_size == 0:
        raise UnreadableImage(path, "an empty file")


def _find_orientation(image: Image.Image, decoded: bool) -> int:
    """Return EXIF's orientation; 1, upright, for a TIFF in bands: one with another orientation is decoded whole."""
    if not decoded and isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1
    with suppress(Exception):  # broken metadata do not make an image unreadable
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1
