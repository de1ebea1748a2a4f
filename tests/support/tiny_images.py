"""TIFF and PNG files made byte by byte, with pixels that are known without a decoder."""

import struct
import zlib
from collections.abc import Mapping, Sequence


def make_tiff(
    tags: Mapping[int, Sequence[int]], strips: Sequence[bytes], order: str = "<", tiled: bool = False
) -> bytes:
    """A TIFF of one image in strips or tiles; all but width and length have defaults for 8-bit gray."""
    places, lengths = (324, 325) if tiled else (273, 279)
    rows = {} if tiled else {278: [2**16 - 1]}
    defaults = {258: [8], 259: [1], 262: [1], 277: [1]}
    entries: dict[int, list[int]] = {tag: list(values) for tag, values in {**defaults, **rows, **tags}.items()}
    entries[lengths] = [len(strip) for strip in strips]
    entries[places] = [0] * len(strips)
    start = 8 + 2 + 12 * len(entries) + 4
    outside = sum(len(_values(tag, values, order)) for tag, values in entries.items() if _is_long(tag, values, order))
    place = start + outside
    for index, strip in enumerate(strips):
        entries[places][index] = place
        place += len(strip)
    directory, extra = struct.pack(f"{order}H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        content = _values(tag, values, order)
        kind = 4 if tag in (273, 279, 324, 325) else 3
        if len(content) > 4:
            content, extra = struct.pack(f"{order}I", start + len(extra)), extra + content
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + content.ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}I", 8) + directory + bytes(4) + extra + b"".join(strips)


def make_png(
    width: int, depth: int, color: int, rows: Sequence[bytes], transparency: bytes = b"", interlaced: int = 0
) -> bytes:
    """A PNG of unfiltered rows."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    if transparency:
        chunks.insert(1, (b"tRNS", transparency))
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*chunk) for chunk in chunks)


def make_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _values(tag: int, values: Sequence[int], order: str) -> bytes:
    return struct.pack(f"{order}{len(values)}{'I' if tag in (273, 279, 324, 325) else 'H'}", *values)


def _is_long(tag: int, values: Sequence[int], order: str) -> bool:
    return len(_values(tag, values, order)) > 4
