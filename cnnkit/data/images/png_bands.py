"""Read large PNG files in bands of rows.

The rows of a PNG are filtered with the row above them and compressed as one stream. This module decompresses a band and
writes it, after the row above it, as a small uncompressed PNG; Pillow undoes the filters. Filters treat each byte of a
pixel separately, so the lower bytes of 16-bit colors can be left out, as Pillow does.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by color type
_PIECE = 1 << 16
_SKIPPED = 4 << 20  # bytes of skipped rows that are decoded at once


class PngBands:
    """The rows of a PNG with 8 or 16 bits a sample, without interlacing and palette, which Pillow has opened."""

    def __init__(self, path: Path, image: ImageFile.ImageFile) -> None:
        self.path, self.size, self.mode = path, image.size, image.mode
        with path.open("rb") as file:
            header, self._transparency, exif, self._data = _read_chunks(file)
        if "Raw profile type exif" not in image.info:
            image.info.setdefault("exif", exif)  # else Pillow loads the whole image to find it after the pixels
        depth, color = header[8], header[9]
        self._halved = depth == 16 and color != 0
        self._row_bytes = 1 + self.size[0] * _SAMPLES[color] * depth // 8
        self._header = header[8:] if not self._halved else b"\x08" + header[9:]
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
        del content
        with Image.open(
            io.BytesIO(_SIGNATURE + b"".join(_make_chunk(*each) for each in chunks)), formats=("PNG",)
        ) as image:
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


def can_read_bands(path: Path) -> bool:
    """Whether `PngBands` can read the file."""
    with path.open("rb") as file:
        head = file.read(29)
    return head[12:16] == b"IHDR" and head[24] in (8, 16) and head[25] in _SAMPLES and head[28] == 0


def _read_chunks(file: BinaryIO) -> tuple[bytes, list[tuple[bytes, bytes]], bytes, list[tuple[int, int]]]:
    """Return the header, the chunk of the transparent color, EXIF, and the offset and length of each piece of data."""
    header, transparency, exif, data = b"", [], b"", []
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        start = file.tell()
        if kind == b"IHDR":
            header = file.read(13)
        elif kind == b"tRNS":
            transparency = [(kind, file.read(min(length, 256)))]
        elif kind == b"eXIf":
            exif = b"Exif\0\0" + file.read(min(length, 1 << 16))
        elif kind == b"IDAT":
            data.append((start, length))
        elif kind == b"IEND":
            break
        file.seek(start + length + 4)
    return header, transparency, exif, data


def _copy_last_row(image: Image.Image) -> bytes:
    row = image.crop((0, image.size[1] - 1, *image.size))
    return np.asarray(row).astype(">u2").tobytes() if row.mode.startswith("I") else row.tobytes()


def _make_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
