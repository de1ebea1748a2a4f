"""Image files of any kind to uint8 tensors of one shape.

Written for files that nobody has looked at: the content and not the suffix decides the format, the size in the header
is checked before a pixel is decoded, large images are decoded by bands of rows, and whatever goes wrong names the file.
"""

import re
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from cnnkit.data.images import tiff
from cnnkit.data.images.bands import WholeBands, open_bands
from cnnkit.data.images.flattening import Flattening, find_transparency
from cnnkit.data.images.formats import COMMON_FORMATS, MAX_PIXELS, explain_unread, find_formats, read_head
from cnnkit.data.images.resizing import Resize, join, resize_bands
from cnnkit.errors import UserError

__all__ = ["MAX_PIXELS", "Resize", "UnreadableImage", "read_image"]


class UnreadableImage(UserError):
    """A file that cannot be read as an image; the message is one line with the path and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        # Both arguments go to the base class, or the error could not come back from a worker process.
        super().__init__(str(path), " ".join(reason.split()))

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


def read_image(
    path: str | Path,
    channels: int,
    size: tuple[int, int] | None,
    resize: Resize = "crop",
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """Read an image file as uint8 (C, H, W), turned upright as its EXIF orientation says.

    CMYK, YCbCr, LAB and palettes become RGB, or gray by the weights of ITU-R 601-2; color profiles are ignored.
    Transparent parts become white, in proportion. Of an animation or a file of several pages the first is taken.
    Pixels of more than eight bits are scaled down, never clipped; see `find_scale`. Where the result is
    small beside the image, at most 200 MB are taken, in proportion more where `max_pixels` is raised above its default.

    Args:
        path: the file, of any format that `find_formats` knows, whatever its suffix.
        channels: 3 for RGB, 1 for gray.
        size: height and width of the result; None: as the image is.
        resize: how to come to that size, by antialiased bilinear interpolation: ``crop`` scales until the size is
            filled and cuts away what stands out on both sides, ``squash`` changes the aspect ratio, ``pad`` scales
            until all fits and adds black on both sides.
        max_pixels: refuse images whose header names more, before decoding them.

    Raises:
        UnreadableImage: if the file is missing, empty, truncated, no image, too large, or of a kind that
            Pillow misreads.
    """
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}: give 3 for color or 1 for gray")
    file = Path(path)
    try:
        with _open(file, max_pixels) as image:
            pixels = _read(image, file, channels, size, resize, max_pixels)
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(path, f"has more pixels than max_pixels, {max_pixels}") from None
    except Exception as error:  # decoders say in many ways that they do not like what they read
        raise UnreadableImage(path, _explain(error)) from None
    return pixels


_EARLY = re.compile(
    "truncated|unexpected end|broken data stream|not enough image data|could not create decoder|EOF", re.IGNORECASE
)


def _explain(error: Exception) -> str:
    """A decoder's complaint; the commonest one, which each decoder says in its own way, in ours."""
    text = str(error) or type(error).__name__
    early = _EARLY.search(text)
    return f"the file ends too early, or is damaged ({text})" if early else text


def _open(path: Path, max_pixels: int) -> ImageFile.ImageFile:
    """The image with its header read, and nothing decoded."""
    _check_file(path)
    head, suffix = read_head(path), path.suffix.lower()
    formats = find_formats(head, suffix)
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # or Pillow would refuse what the user allows
    try:
        if not formats:
            raise UnidentifiedImageError
        image = Image.open(path, formats=formats)
    except UnidentifiedImageError:
        known = explain_unread(head, suffix) or (tiff.explain_unread(path) if "TIFF" in formats else None)
        if formats:
            known = known or f"looks like {' or '.join(formats)}, but its header is broken"
        raise UnreadableImage(path, known or f"not an image of a known format ({COMMON_FORMATS})") from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise UnreadableImage(path, f"{width}x{height} pixels are more than max_pixels, {max_pixels}")
    return image


def _read(
    image: ImageFile.ImageFile, path: Path, channels: int, size: tuple[int, int] | None, resize: Resize, max_pixels: int
) -> Tensor:
    mode = "L" if channels == 1 else "RGB"
    kind, transparency = tiff.find_kind(image), find_transparency(image)
    # JPEGs are decoded at 1/2, 1/4 or 1/8 where that leaves twice the size wanted: quicker, and as good.
    draft = image.draft(None, (2 * max(size), 2 * max(size))) if size and image.format in ("JPEG", "MPO") else None
    bands = open_bands(image, path, size, max_pixels)
    flatten = Flattening(bands, kind, transparency)
    orientation = _find_orientation(image, decoded=isinstance(bands, WholeBands))
    if size is None:
        flat = join(bands, flatten, mode)
    else:
        # The last row and column of a draft stand for fewer pixels than the others: its extent is a fraction.
        extent = draft[1][2:] if draft else bands.size
        is_sideways = 5 <= orientation <= 8  # width and height change places
        flat = resize_bands(bands, flatten, mode, extent, size[::-1] if is_sideways else size, resize)
    if orientation != 1:
        flat.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(flat, in_place=True)
    pixels = torch.from_numpy(np.array(flat))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def _check_file(path: str | Path) -> None:
    try:
        found = Path(path).stat()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and Path(path).is_symlink()
        raise UnreadableImage(path, "a link to nothing" if dangling else str(error.strerror).lower()) from None
    if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever
        raise UnreadableImage(path, "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file")
    if found.st_size == 0:
        raise UnreadableImage(path, "an empty file")


def _find_orientation(image: Image.Image, decoded: bool) -> int:
    """EXIF's orientation; 1, upright, for a TIFF: Pillow turns a decoded one, and others are not read by bands."""
    if not decoded and isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1
    with suppress(Exception):  # broken metadata do not make a picture unreadable
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1
