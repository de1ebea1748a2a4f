"""Image files of any kind to uint8 tensors of one shape.

Written for files that nobody has looked at: the format is told by content and not by suffix, the size in the header
is checked before a pixel is decoded, and whatever goes wrong names the file.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from cnnkit.errors import UserError

Resize = Literal["squash", "crop", "pad"]

# Pillow knows many more, some of which start other programs; these few are decoded in the process.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
)  # of the files to look at in a folder

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # of EXIF
_SWAPPING = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]  # width and height change places


class UnreadableImage(UserError):
    """A file that cannot be read as an image; the message is one line with the path and the reason."""

    def __init__(self, path: str | Path, reason: str) -> None:
        # Both arguments go to the base class, or the error could not come back from a worker process.
        super().__init__(str(path), " ".join(reason.split()))

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


def image_files(path: str | Path) -> list[Path]:
    """List the image files of a folder and all folders below it, sorted; a file is a list of itself.

    Files are chosen by suffix (`IMAGE_SUFFIXES`, in any case). Hidden files and folders are skipped.

    Raises:
        UserError: if there is no such file or folder, or a folder cannot be listed.
    """
    if not Path(path).is_dir():
        if not Path(path).exists():
            raise UserError(f"{path}: no such file or folder")
        return [Path(path)]

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot list the folder ({error.strerror}); give yourself the right to read")

    found = []
    for folder, folders, files in os.walk(path, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (speed)
        ]
    return sorted(found)


def read_image(
    path: str | Path,
    channels: int,
    size: tuple[int, int] | None,
    resize: Resize = "crop",
    max_pixels: int = 64_000_000,
) -> Tensor:
    """Read an image file as uint8 (C, H, W), turned upright as its EXIF orientation says.

    CMYK, YCbCr, LAB and palettes become RGB, or grey by the weights of ITU-R 601-2; colour profiles are ignored.
    Transparent parts become white, in proportion. Of an animation or a file of several pages the first is taken.
    Pixels of more than eight bits are scaled down, never clipped; see `to_grey`.

    Args:
        path: the file: PNG, JPEG, WebP, BMP, GIF or TIFF by content, whatever its suffix.
        channels: 3 for RGB, 1 for grey.
        size: height and width of the result; None: as the image is.
        resize: how to come to that size, by antialiased bilinear interpolation: ``crop`` scales until the size is
            filled and cuts away what stands out on both sides, ``squash`` changes the aspect ratio, ``pad`` scales
            until all fits and adds black on both sides.
        max_pixels: refuse images whose header names more, before decoding them.

    Raises:
        UnreadableImage: if the file is missing, empty, truncated, no image or too large.
    """
    if channels not in (1, 3):
        raise UserError(f"channels is {channels}: give 3 for colour or 1 for grey")
    _check_file(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadableImage(path, f"{width}x{height} pixels are more than max_pixels, {max_pixels}")
            # JPEGs are decoded at 1/2, 1/4 or 1/8 where that leaves twice the size wanted: quicker, and as good.
            draft = image.draft(None, (2 * max(size), 2 * max(size))) if size else None
            image.load()
            turn, flat = _turn(image), _flatten(image)
            # The last row and column of a draft stand for fewer pixels than the others: its extent is a fraction.
            extent = draft[1][2:] if draft else flat.size
    except (UnreadableImage, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(path, f"not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, str(error)) from None
    except Exception as error:  # decoders say in many ways that they do not like what they read
        raise UnreadableImage(path, str(error) or type(error).__name__) from None
    flat = flat.convert("L" if channels == 1 else "RGB")
    if size is not None:
        flat = _resized(flat, extent, size[::-1] if turn in _SWAPPING else size, resize)
    if turn is not None:
        flat = flat.transpose(turn)
    pixels = torch.from_numpy(np.array(flat))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Scale grey pixels of any dtype to uint8, black to white, without clipping any.

    The range is guessed from dtype and content: 0..65535 for integers, and 0..1, 0..255 or 0..65535 for floating point,
    the first that holds all pixels of the image. What fits in none is stretched from its least to its largest value.
    Pixels that are no number become black.

    Example:
        >>> to_grey(np.array([0, 30_000, 65_535], dtype=np.uint16))
        array([  0, 117, 255], dtype=uint8)
    """
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0.0, 0.0)
    ceilings = (1, 255, 65535) if pixels.dtype.kind == "f" else (65535,)
    ceiling = next((c for c in ceilings if low >= 0 and high <= c), None)
    floor, span = (0.0, float(ceiling)) if ceiling else (low, high - low or 1.0)
    return (np.where(finite, values - floor, 0) * (255 / span)).round().astype(np.uint8)


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


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a loaded image upright; TIFFs have been turned while they were loaded, and no longer ask for it."""
    with suppress(Exception):  # broken metadata do not make a picture unreadable
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _flatten(image: Image.Image) -> Image.Image:
    """L or RGB, on white where it is transparent."""
    if image.mode[0] in "IF":
        return Image.fromarray(to_grey(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _resized(image: Image.Image, extent: tuple[float, float], size: tuple[int, int], resize: Resize) -> Image.Image:
    (width, height), (to_height, to_width) = extent, size
    box = (0.0, 0.0, width, height)
    inner = (to_width, to_height)
    if resize == "crop":
        scale = min(width / to_width, height / to_height)
        left, top = (width - to_width * scale) / 2, (height - to_height * scale) / 2
        box = (left, top, width - left, height - top)
    elif resize == "pad":
        scale = max(width / to_width, height / to_height)
        inner = (max(1, round(width / scale)), max(1, round(height / scale)))
    image = image.resize(inner, Image.Resampling.BILINEAR, box, reducing_gap=3.0)
    if inner == (to_width, to_height):
        return image
    padded = Image.new(image.mode, (to_width, to_height))
    padded.paste(image, ((to_width - inner[0]) // 2, (to_height - inner[1]) // 2))
    return padded
