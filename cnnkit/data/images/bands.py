"""Read an image in bands of rows, so that a large one never lies in memory as a whole.

Pillow decodes an image as a whole, and so do torchvision and OpenCV. If that takes more than `WHOLE` bytes, PNG, TIFF,
uncompressed files (BMP, PPM, TGA) and HEIC have a reader here that needs less; other formats are refused if they need
more than `LIMIT`. libvips reads in bands, too, but would be a second decoder with other pixels beside Pillow.
"""

import math
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from cnnkit.data.images.formats import MAX_PIXELS
from cnnkit.data.images.png_bands import PngBands, can_read_bands
from cnnkit.data.images.source import Source, as_file
from cnnkit.data.images.tiff_bands import TiffBands

WHOLE = 64 << 20  # bytes of a decoded image up to which it is decoded as a whole
LIMIT = 198_000_000  # bytes that decoding may take with the default of max_pixels
BAND = 24_000_000  # bytes that the work on a band may take in addition to a decoded image
# Largest number of pixels for Pillow's decoders that are written in Python (1 to 5 us a pixel).
_SLOW = {"qoi": 1_100_000, "dds_rgb": 1_100_000, "BLP1": 4_000_000, "BLP2": 4_000_000}

# Bytes a pixel that a decoder takes in addition to Pillow's pixels, for three samples a pixel (measured, Pillow 13).
_BESIDE = {"WEBP": 12.2, "AVIF": 5.7, "HEIF": 4.9, "JPEG2000": 15.8, "SGI": 2.2, "DDS": 3.2, "ICNS": 15.8}
_HEIF = 5.2  # bytes a pixel without Pillow's copy
_RAW_FORMATS = ("BMP", "DIB", "PPM", "TGA", "TIFF")  # the raw rows of other formats are not those in the file
_RAW_BYTES = {
    **{"RGB": 3, "BGR": 3, "RGBX": 4, "BGRX": 4, "XBGR": 4, "RGBA": 4, "BGRA": 4, "CMYK": 4},
    **{"RGB;16L": 6, "RGB;16B": 6, "RGBA;16L": 8, "RGBA;16B": 8, "I;32N": 4, "F;32F": 4, "F;32BF": 4, "I;16S": 2},
}


class Bands(Protocol):
    """Rows of an image in Pillow's modes, any number of times."""

    size: tuple[int, int]
    mode: str

    def read(self, top: int, bottom: int) -> Image.Image:
        """Return the rows from `top` to `bottom`; fastest in order."""


class WholeBands(Bands):
    """A decoded image."""

    def __init__(self, image: Image.Image) -> None:
        self.image, self.size, self.mode = image, image.size, image.mode

    def read(self, top: int, bottom: int) -> Image.Image:
        whole = (top, bottom) == (0, self.size[1])
        return self.image if whole else self.image.crop((0, top, self.size[0], bottom))


class RawBands(Bands):
    """The rows of an uncompressed file: BMP, PPM, TGA, TIFF."""

    def __init__(self, path: Source, image: ImageFile.ImageFile) -> None:
        self.path, self.size, self.mode, self.tiles = path, image.size, image.mode, image.tile

    def read(self, top: int, bottom: int) -> Image.Image:
        width = self.size[0]
        rows = Image.new(self.mode, (width, bottom - top))
        with self.path.open("rb") as file:
            for tile in self.tiles:
                assert tile.extents is not None
                first, last = max(top, tile.extents[1]), min(bottom, tile.extents[3])
                if first >= last:
                    continue
                raw, given, direction = _unpack_arguments(tile.args)
                stride = given or width * _RAW_BYTES[raw]
                skipped = tile.extents[3] - last if direction < 0 else first - tile.extents[1]
                file.seek(tile.offset + skipped * stride)
                content = file.read((last - first) * stride)
                band = Image.frombytes(self.mode, (width, last - first), content, "raw", raw, stride, direction)
                rows.paste(band, (0, first - top))
        return rows


class ArrayBands(Bands):
    """Pixels of another decoder than Pillow's, uint8 (H, W, C): three bytes each, and not Pillow's four."""

    def __init__(self, pixels: np.ndarray, mode: str) -> None:
        self.pixels, self.mode = pixels, mode
        self.size = pixels.shape[1], pixels.shape[0]

    def read(self, top: int, bottom: int) -> Image.Image:
        return Image.fromarray(np.ascontiguousarray(self.pixels[top:bottom]))


def open_bands(image: ImageFile.ImageFile, path: Source, wanted: tuple[int, int] | None, max_pixels: int) -> Bands:
    """Open the rows of an image in the way that takes the least memory.

    Args:
        image: opened, not loaded.
        path: its file, or its content in memory.
        wanted: height and width of the result, so that the decoder may leave out detail; None: those of the image.
        max_pixels: the user's limit; the bound of 200 MB grows with it above its default.

    Raises:
        ValueError: decoding would take too much memory or time.
    """
    limit = LIMIT * max(1.0, max_pixels / MAX_PIXELS)
    if wanted is not None and _estimate_bytes(image) > WHOLE:
        if (bands := _open_streamed(image, path, limit)) is not None:
            return bands
        _reduce(image, wanted, limit)
    _refuse_slow(image)
    image.load()
    return WholeBands(image)


def _reduce(image: ImageFile.ImageFile, wanted: tuple[int, int], limit: float) -> None:
    """Make the decoder leave out detail if the image is too large, or refuse it."""
    levels = 0
    if image.format == "JPEG2000":
        levels = _find_levels(image, wanted, limit)
        image.reduce = levels  # type: ignore[assignment,method-assign]
    elif _estimate_bytes(image) > limit:
        image.draft(None, wanted[::-1])  # the thumbnail within a HEIC
    if (needed := _estimate_bytes(image, levels)) > limit:
        raise ValueError(
            f"decoding {image.size[0]}x{image.size[1]} pixels of {image.format} takes {needed / 1e6:.0f} MB, more than "
            f"{limit / 1e6:.0f}: save it smaller or as PNG, or set max_pixels to "
            f"{math.ceil(needed / LIMIT * MAX_PIXELS / 1e6) * 1_000_000:_}"
        )


def _open_streamed(image: ImageFile.ImageFile, path: Source, limit: float) -> Bands | None:
    if can_read_bands(image):
        return PngBands(path, image)
    is_raw = all(
        tile.codec_name == "raw"
        and tile.extents is not None
        and (tile.extents[0], tile.extents[2]) == (0, image.size[0])
        and _unpack_arguments(tile.args)[0] in _RAW_BYTES
        for tile in image.tile
    )
    if image.format in _RAW_FORMATS and image.tile and is_raw:
        return RawBands(path, image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return TiffBands.open(path, image)
    if image.format == "HEIF" and image.size[0] * image.size[1] * _HEIF <= limit:
        return _decode_heif(path)
    return None


def _unpack_arguments(arguments: tuple[Any, ...] | str | None) -> tuple[str, int, int]:
    """Return the raw mode, the bytes a row (0: no padding), and 1 for rows from the top or -1."""
    given = arguments if isinstance(arguments, tuple) else (arguments or "",)
    mode, stride, direction = (*given, *("", 0, 1)[len(given) :])[:3]
    return mode, stride, direction


def _decode_heif(path: Source) -> Bands:
    import pillow_heif

    file = pillow_heif.open_heif(as_file(path), convert_hdr_to_8bit=True)
    image = file[file.primary_index]
    pixels = np.asarray(image)
    return ArrayBands(pixels, image.mode)


def _find_levels(image: Image.Image, wanted: tuple[int, int], limit: float) -> int:
    """Find the fewest wavelet levels to leave out so that an image fits and has twice the wanted size; else 0."""
    for levels in range(6):
        scale = 1 << levels
        # Pillow rounds the size, OpenJPEG rounds it up; if they differ, Pillow fails.
        agrees = all((side + scale // 2) // scale == -(-side // scale) for side in image.size)
        enough = image.size[0] >= 2 * wanted[1] * scale and image.size[1] >= 2 * wanted[0] * scale
        if agrees and (enough or not levels) and _estimate_bytes(image, levels) <= limit:
            return levels
    return 0


def _estimate_bytes(image: Image.Image, levels: int = 0) -> float:
    """Estimate the bytes that decoding takes, without `levels` of detail; measured with Pillow 13."""
    mode = image.mode
    samples = len(image.getbands())
    own = each = 1.0 if mode in ("1", "L", "P") else 2.0 if mode.startswith("I;16") else 4.0
    if mode not in ("1", "L", "P", "LA", "PA") and image.format in _BESIDE:
        each += _BESIDE[image.format] * max(samples, 3) / 3
    elif image.format in _BESIDE:
        each += _BESIDE[image.format] / 2
    width, height = image.size
    beside = 0.0
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.info.get("progressive"):
        scale = image.decoderconfig[0] if image.decoderconfig else 1
        beside = 2 * _count_samples(image) * (width * scale) * (height * scale)
    pixels = width * height / 4.0**levels
    return max(pixels * each + beside, pixels * own + BAND)


def _count_samples(image: JpegImagePlugin.JpegImageFile) -> float:
    """Count the samples a pixel; a subsampled channel has less than one."""
    factors = [(horizontal, vertical) for _, horizontal, vertical, _ in image.layer]
    most = max(h for h, _ in factors) * max(v for _, v in factors)
    return sum(h * v for h, v in factors) / max(1, most)


def _refuse_slow(image: ImageFile.ImageFile) -> None:
    most = min((_SLOW.get(tile.codec_name, math.inf) for tile in image.tile), default=math.inf)
    if image.size[0] * image.size[1] > most:
        raise ValueError(f"{image.format} of more than {most:,} pixels is decoded too slowly: save it as PNG")
