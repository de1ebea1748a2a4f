"""Files and archive members as bytes, decompressed up to a bound.

Nothing is extracted to disk, and no size that a header claims is believed: what is read is counted. Every problem is a
``ValueError`` whose text is the reason; the caller knows the file's name and adds it.
"""

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, cast

MAX_MEMBERS = 64
_BLOCK, _PIECE = 512, 1 << 20
_LZMA_MEMORY = 100 << 20  # a dictionary that the publisher's own settings do not exceed
_TOTAL = 8  # times a member's limit: CIFAR's archives hold six files of nearly one size
_SKIPPED_HEADER = 1 << 20  # bytes of a header that holds a long name or remarks
_FAILURES = (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError, zlib.error)


def read_file(path: Path, limit: int) -> bytes:
    """Read a file, decompressed where its name ends in ``.gz`` or ``.xz``.

    Raises:
        ValueError: It holds more than `limit` bytes, cannot be read or cannot be decompressed.
    """
    try:
        if path.suffix == ".xz":
            return _read_xz(path, limit)
        with _open(path) as file:
            return _read_at_most(file, limit)
    except _FAILURES as error:
        raise ValueError(f"it cannot be read ({shorten(error)})") from None


def read_members(path: Path, names: Collection[str], limit: int) -> dict[str, bytes]:
    """Read files from a ``.tar.gz`` in memory, by their exact names, in one pass.

    The headers are read here, block by block, because `tarfile` reads a header of any size that it is told of.

    Raises:
        ValueError: The archive cannot be read, is not the size it should be, or lacks one of the names.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as file:
            _read_members(cast(IO[bytes], file), names, limit, found)
    except _FAILURES as error:
        raise ValueError(f"it cannot be read ({shorten(error)})") from None
    if missing := sorted(set(names) - set(found)):
        raise ValueError(f"it has no {missing[0]}")
    return found


def shorten(error: Exception) -> str:
    """An error's text in one line of at most a hundred characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:100] or type(error).__name__


def _read_members(file: IO[bytes], names: Collection[str], limit: int, found: dict[str, bytes]) -> None:
    left = _TOTAL * limit
    for _ in range(MAX_MEMBERS):
        header = file.read(_BLOCK)
        if not header.strip(b"\0"):  # the end, or a file that ends without one
            return
        member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        most = limit if member.isreg() or member.isdir() else _SKIPPED_HEADER
        left -= max(0, member.size)
        if not 0 <= member.size <= most or left < 0:
            raise ValueError(f"its member {member.name[:60]} is not the publisher's: it claims {member.size:,} bytes")
        wanted = member.isreg() and member.name in names
        content = _skip_or_read(file, member.size, keep=wanted)
        if wanted:
            found[member.name] = content
        _skip_or_read(file, -member.size % _BLOCK, keep=False)
    raise ValueError(f"it has more than {MAX_MEMBERS} members")


def _skip_or_read(file: IO[bytes], size: int, *, keep: bool) -> bytes:
    parts = []
    while size > 0:
        part = file.read(min(size, _PIECE))
        if not part:
            raise EOFError("it ends within a member")
        size -= len(part)
        if keep:
            parts.append(part)
    return b"".join(parts)


def _read_at_most(file: IO[bytes], limit: int) -> bytes:
    parts, size = [], 0
    while part := file.read(_PIECE):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise ValueError(f"it holds more than the {limit} bytes it should")
    return b"".join(parts)


def _read_xz(path: Path, limit: int) -> bytes:
    decoder, raw = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY), bytearray()
    with path.open("rb") as file:
        while not decoder.eof:
            piece = file.read(_PIECE) if decoder.needs_input else b""
            if decoder.needs_input and not piece:
                raise EOFError("it ends before its content does")
            raw += decoder.decompress(piece, _PIECE)
            if len(raw) > limit:
                raise ValueError(f"it holds more than the {limit} bytes it should")
    return bytes(raw)


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
