"""Read large PNG files in bands of rows.

The rows of a PNG are filtered with the row above them and compressed as one stream. This module decompresses a band and
writes it, after the row above it, as a small uncompressed PNG; Pillow undoes the filters. Filters treat each byte of a
pixel separately, so the lower bytes of 16-bit colors can be left out, as Pillow does.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile
from PIL.PngImagePlugin import putchunk

from cnnkit.data.images.source import Source

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Color type, samples a pixel and bits a sample of Pillow's raw modes.
_KINDS = {
    **{"L": (0, 1, 8), "LA": (4, 2, 8), "RGB": (2, 3, 8), "RGBA": (6, 4, 8)},
    **{"I;16B": (0, 1, 16), "LA;16B": (4, 2, 16), "RGB;16B": (2, 3, 16), "RGBA;16B": (6, 4, 16)},
}
_PIECE = 1 << 16
_SKIPPED = 4 << 20  # bytes of skipped rows that are decoded at once


class PngBands:
    """The rows of a PNG that Pillow has opened; see `can_read_bands`."""

    def __init__(self, path: Source, image: ImageFile.ImageFile) -> None:
        self.path, self.size, self.mode = path, image.size, image.mode
        with path.open("rb") as file:
            self._transparency, exif, self._data = _read_chunks(file)
        if "Raw profile type exif" not in image.info:
            image.info.setdefault("exif", exif)  # else Pillow loads the whole image to find it after the pixels
        color, samples, bits = _KINDS[str(image.tile[0].args)]
        self._halved = bits == 16 and color != 0
        self._row_bytes = 1 + self.size[0] * samples * bits // 8
        self._header = bytes([8 if self._halved else bits, color, 0, 0, 0])
        self._restart()

    def read(self, top: int, bottom: int) -> Image.Image:
        """Decode the rows; to go back, decode from the start again."""
        if top < self._next:
            self._restart()
        while self._next < top:
            self._decode(min(top - self._next, max(1, _SKIPPED // self._row_bytes)))
        return self._decode(bottom - top)

    def _restart(self) -> None:
        self._next, self._rest = 0, b""
        self._above: bytes | None = None
        self._stream = self._inflate()

    def _decode(self, count: int) -> Image.Image:
        content, led = self._read_filtered(count), 0
        if self._above is not None:
            content, led = b"\0" + self._above + content, 1
        header = struct.pack(">II", self.size[0], count + led) + self._header
        chunks = [(b"IHDR", header), *self._transparency, (b"IDAT", zlib.compress(content, 0)), (b"IEND", b"")]
        file = io.BytesIO()
        file.write(_SIGNATURE)
        for chunk in chunks:
            putchunk(file, *chunk)
        del content, chunks, chunk
        with Image.open(file, formats=("PNG",)) as image:
            image.load()
            self._above = _copy_last_row(image)
            band = image.crop((0, led, self.size[0], count + led))
        self._next += count
        return band

    def _read_filtered(self, count: int) -> bytes:
        """Return the next rows, each after the number of its filter."""
        rows = bytearray(self._rest)
        while len(rows) < count * self._row_bytes:
            rows += next(self._stream)
        self._rest = bytes(rows[count * self._row_bytes :])
        del rows[count * self._row_bytes :]
        if not self._halved:
            return bytes(rows)
        table = np.frombuffer(rows, np.uint8).reshape(count, self._row_bytes)
        return np.concatenate([table[:, :1], table[:, 1::2]], axis=1).tobytes()

    def _inflate(self) -> Iterator[bytes]:
        decoder = zlib.decompressobj()
        with self.path.open("rb") as file:
            for offset, left in self._data:
                file.seek(offset)
                while left and not decoder.eof:
                    piece = file.read(min(left, _PIECE))
                    left -= len(piece)
                    if not piece:
                        break
                    while piece and not decoder.eof:
                        yield decoder.decompress(piece, _SKIPPED)
                        piece = decoder.unconsumed_tail
        raise ValueError("image file is truncated")


def can_read_bands(image: ImageFile.ImageFile) -> bool:
    """Whether an opened image is a PNG with 8 or 16 bits a sample, without interlacing and palette."""
    is_one = image.format == "PNG" and len(image.tile) == 1 and not image.info.get("interlace")
    return is_one and str(image.tile[0].args) in _KINDS


def _read_chunks(file: BinaryIO) -> tuple[list[tuple[bytes, bytes]], bytes, list[tuple[int, int]]]:
    """Return the chunk of the transparent color, EXIF, and the offset and length of each piece of data."""
    transparency, exif, data = [], b"", []
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        start = file.tell()
        if kind == b"tRNS":
            transparency = [(kind, file.read(min(length, 256)))]
        elif kind == b"eXIf":
            exif = b"Exif\0\0" + file.read(min(length, 1 << 16))
        elif kind == b"IDAT":
            data.append((start, length))
        elif kind == b"IEND":
            break
        file.seek(start + length + 4)
    return transparency, exif, data


def _copy_last_row(image: Image.Image) -> bytes:
    row = image.crop((0, image.size[1] - 1, *image.size))
    return np.asarray(row).astype(">u2").tobytes() if row.mode.startswith("I") else row.tobytes()
