"""Correct TIFF files that Pillow misreads if a tag says how, else refuse them.

Pillow 13 ignores the tags WhiteIsZero and BitsPerSample of gray pixels with more than eight bits, reads unsigned 32-bit
integers as signed, swaps the bytes of compressed big-endian pixels twice, and fills missing strips with black.
"""

import math
from typing import Any, NamedTuple

from PIL import Image
from PIL import TiffImagePlugin as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from cnnkit.data.images.source import Source

_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped", 5: "complex", 6: "complex"}
_PHOTOMETRICS = {0: "white-is-zero", 1: "gray", 2: "RGB", 3: "palette"}
# Raw modes of the machine's own byte order, which is libtiff's output.
_NATIVE = {
    **{"I;16S": "I;16NS", "I;16BS": "I;16NS", "I;32S": "I;32NS", "I;32BS": "I;32NS"},
    **{"F;32F": "F;32NF", "F;32BF": "F;32NF"},
}


class PixelKind(NamedTuple):
    """The kind of an image's pixels, in addition to Pillow's mode.

    Attributes:
        bits: number of bits that a gray pixel uses.
        unsigned: unsigned 32-bit integers, which Pillow reads as signed ones.
        inverted: the smallest value is white, and Pillow has not inverted it.
    """

    bits: int = 16
    unsigned: bool = False
    inverted: bool = False


def find_kind(image: Image.Image) -> PixelKind:
    """Read the tags of an opened TIFF, and correct what Pillow would misread; other images have the default kind.

    Raises:
        ValueError: strips or tiles are missing, or the pixels are of a kind that Pillow misreads.
    """
    if not isinstance(image, TiffImageFile):
        return PixelKind()
    tags = image.tag_v2
    bits, sample_format = _get_first(tags, Tag.BITSPERSAMPLE, 1), _get_first(tags, Tag.SAMPLEFORMAT, 1)
    _check_segments(tags)
    if sample_format == 2 and bits == 8:
        raise ValueError(describe(tags))
    _correct_modes(image)
    wide = image.mode[0] in "IF"
    inverted = wide and tags.get(Tag.PHOTOMETRIC_INTERPRETATION) == 0
    return PixelKind(bits if wide and bits < 16 else 16, wide and (bits, sample_format) == (32, 1), inverted)


def describe(tags: Any) -> str:
    """Describe the pixels of a TIFF that is not read."""
    bits, samples = _get_first(tags, Tag.BITSPERSAMPLE, 1), _get_first(tags, Tag.SAMPLESPERPIXEL, 1)
    kind = _KINDS.get(_get_first(tags, Tag.SAMPLEFORMAT, 1), "unknown")
    photometric = _PHOTOMETRICS.get(tags.get(Tag.PHOTOMETRIC_INTERPRETATION), "other")
    return (
        f"a TIFF of {samples} x {bits}-bit {kind} samples a pixel ({photometric}) is not read; "
        "convert it to 8-bit or 16-bit"
    )


def explain_unread(path: Source) -> str | None:
    """Describe a TIFF that Pillow has refused; None if its tags cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            tags = ImageFileDirectory_v2(head if 43 in head[2:4] else head[:8])
            file.seek(tags.next)
            tags.load(file)
        return describe(tags) if Tag.IMAGEWIDTH in tags else None
    except Exception:  # Pillow raises many kinds of errors
        return None


def _get_first(tags: Any, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _check_segments(tags: Any) -> None:
    """Check that there are strips or tiles for all pixels and, without compression, all their bytes."""
    width, length = _get_first(tags, Tag.IMAGEWIDTH, 0), _get_first(tags, Tag.IMAGELENGTH, 0)
    tiled = Tag.TILEOFFSETS in tags
    offsets = tags.get(Tag.TILEOFFSETS if tiled else Tag.STRIPOFFSETS, ())
    counts = () if tiled else tags.get(Tag.STRIPBYTECOUNTS, ())
    rows = _get_first(tags, Tag.TILELENGTH if tiled else Tag.ROWSPERSTRIP, length) or length
    across = math.ceil(width / (_get_first(tags, Tag.TILEWIDTH, width) or width)) if tiled else 1
    separate = _get_first(tags, Tag.PLANAR_CONFIGURATION, 1) == 2
    samples = _get_first(tags, Tag.SAMPLESPERPIXEL, 1)
    down = math.ceil(length / max(1, min(rows, length)))
    needed = down * across * (samples if separate else 1)
    if len(offsets) < needed:
        raise ValueError(f"truncated: it has {len(offsets)} of {needed} {'tiles' if tiled else 'strips'}")
    is_subsampled = _get_first(tags, Tag.PHOTOMETRIC_INTERPRETATION, 1) == 6  # YCbCr
    if _get_first(tags, Tag.COMPRESSION, 1) == 1 and not is_subsampled:
        stride = (width * _get_first(tags, Tag.BITSPERSAMPLE, 1) * (1 if separate else samples) + 7) // 8
        for index, count in enumerate(counts[:needed]):
            height = min(rows, length - (index % down) * rows)
            if count < height * stride:
                raise ValueError(f"truncated: strip {index} has {count:,} of {height * stride:,} bytes")


def _correct_modes(image: TiffImageFile) -> None:
    """Make Pillow read libtiff's output in the machine's byte order, which it has, and 16-bit planes as 16-bit."""
    tiles = []
    for tile in image.tile:
        mode, *others = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "libtiff":
            mode = _NATIVE.get(mode, mode)
        elif mode in ("R", "G", "B", "A") and _get_first(image.tag_v2, Tag.BITSPERSAMPLE, 8) == 16:
            mode = f"{mode};16{'B' if image.tag_v2.prefix == b'MM' else 'L'}"
        tiles.append(tile._replace(args=(mode, *others)))
    image.tile = tiles
