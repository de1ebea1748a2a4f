"""TIFF files that Pillow misreads: mended where a tag says how, else refused.

Pillow 13 ignores the tags WhiteIsZero and BitsPerSample of wide gray pixels, reads unsigned 32-bit integers as signed,
swaps the bytes of compressed big-endian pixels a second time, and fills strips that are not there with black.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 273, 277, 278, 279, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES, SAMPLE_FORMAT = 322, 323, 324, 325, 339
_KINDS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped", 5: "complex", 6: "complex"}
# Raw modes of the machine's own byte order, which is libtiff's output.
_NATIVE = {
    **{"I;16S": "I;16NS", "I;16BS": "I;16NS", "I;32S": "I;32NS", "I;32BS": "I;32NS"},
    **{"F;32F": "F;32NF", "F;32BF": "F;32NF"},
}


class PixelKind(NamedTuple):
    """What is known of an image's pixels beside Pillow's mode.

    Attributes:
        bits: of a gray pixel that are used.
        unsigned: 32-bit integers from 0 on, which Pillow's mode I takes for signed.
        inverted: the least value is white, and Pillow has not turned it round.
    """

    bits: int = 16
    unsigned: bool = False
    inverted: bool = False


def find_kind(image: Image.Image) -> PixelKind:
    """Read the tags of an opened TIFF, and put right what Pillow would misread; other images have the usual kind.

    Raises:
        ValueError: strips or tiles are missing, or the pixels are of a kind that Pillow misreads.
    """
    if not isinstance(image, TiffImageFile):
        return PixelKind()
    tags = image.tag_v2
    bits, sample_format = _first(tags, BITS, 1), _first(tags, SAMPLE_FORMAT, 1)
    _check_segments(tags)
    if sample_format == 2 and bits == 8:
        raise ValueError(describe(tags))
    _swap_once(image)
    wide = image.mode[0] in "IF"
    inverted = wide and tags.get(PHOTOMETRIC) == 0
    return PixelKind(bits if wide and bits < 16 else 16, wide and (bits, sample_format) == (32, 1), inverted)


def describe(tags: Any) -> str:
    """Name the kind of pixels as the reason why a TIFF is not read."""
    bits, samples = _first(tags, BITS, 1), _first(tags, SAMPLES, 1)
    kind = _KINDS.get(_first(tags, SAMPLE_FORMAT, 1), "unknown")
    photometric = {0: "white-is-zero", 1: "gray", 2: "RGB", 3: "palette"}.get(tags.get(PHOTOMETRIC), "other")
    return (
        f"a TIFF of {samples} x {bits}-bit {kind} samples a pixel ({photometric}) is not read; "
        "convert it to 8-bit or 16-bit"
    )


def explain_unread(path: Path) -> str | None:
    """Say which kind of TIFF Pillow has refused; None if its tags cannot be read either."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            tags = ImageFileDirectory_v2(head if 43 in head[2:4] else head[:8])
            file.seek(tags.next)
            tags.load(file)
        return describe(tags) if WIDTH in tags else None
    except Exception:  # decoders say in many ways that they do not like what they read
        return None


def _first(tags: Any, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _check_segments(tags: Any) -> None:
    """Whether there are strips or tiles for all pixels, and, where nothing is compressed, all their bytes."""
    width, length = _first(tags, WIDTH, 0), _first(tags, LENGTH, 0)
    tiled = TILE_OFFSETS in tags
    offsets, counts = (
        tuple(tags.get(tag, ())) for tag in ((TILE_OFFSETS, TILE_BYTES) if tiled else (STRIP_OFFSETS, STRIP_BYTES))
    )
    rows = _first(tags, TILE_LENGTH if tiled else ROWS_PER_STRIP, length) or length
    across = math.ceil(width / (_first(tags, TILE_WIDTH, width) or width)) if tiled else 1
    separate = _first(tags, PLANAR, 1) == 2
    samples = _first(tags, SAMPLES, 1)
    down = math.ceil(length / max(1, min(rows, length)))
    needed = down * across * (samples if separate else 1)
    what = "tiles" if tiled else "strips"
    if len(offsets) < needed:
        raise ValueError(f"truncated: it has {len(offsets)} of {needed} {what}")
    if _first(tags, COMPRESSION, 1) == 1 and not tiled and counts and _first(tags, PHOTOMETRIC, 1) != 6:
        stride = (width * _first(tags, BITS, 1) * (1 if separate else samples) + 7) // 8
        for index, count in enumerate(counts[:needed]):
            height = min(rows, length - (index % down) * rows)
            if count < height * stride:
                raise ValueError(f"truncated: strip {index} has {count:,} of {height * stride:,} bytes")


def _swap_once(image: TiffImageFile) -> None:
    """Have libtiff's output, which is in the machine's order, read as such; and 16-bit planes as 16-bit."""
    tiles = []
    for tile in image.tile:
        mode, *others = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "libtiff":
            mode = _NATIVE.get(mode, mode)
        elif mode in ("R", "G", "B", "A") and _first(image.tag_v2, BITS, 8) == 16:
            mode = f"{mode};16{'B' if image.tag_v2.prefix == b'MM' else 'L'}"
        tiles.append(tile._replace(args=(mode, *others)))
    image.tile = tiles
