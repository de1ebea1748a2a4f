"""Images that are bytes in a table, as files: one for each content, so that they are checked and decoded as all are.

A record says which file each row has, so that a table that has not changed is not read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError
from cnnkit.files import write_atomically
from cnnkit.notices import say

VERSION = 1
_MANY = 1000  # images that take so long that it is announced
_SETTLED = 2_000_000_000  # ns after which another change has another time on any file system
Cell = tuple[Path | None, str | None]  # the file, or the path that the row has instead of bytes


def write_images(table: Table, column: str, folder: Path) -> list[Cell]:
    """Write the bytes of each row to a file that is named by their hash; a file that is there is not written again.

    Returns:
        For each row its file, or None and the path that the row has instead of bytes.

    Raises:
        UserError: the folder cannot be written to, or the table is damaged.
    """
    key = hashlib.sha256(f"{table.path.resolve()} {column}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    record, stamps = folder / "tables" / f"{key}.json", _read_stamps(table)
    names = _read_record(record, stamps)
    if names is None or not all((folder / name).exists() for name, _ in names if name):
        try:
            names = list(_write(table, column, folder))
        except OSError as error:
            raise UserError(
                f"{folder}: the images of {table.path} cannot be kept there ({error.strerror}); name another data_dir"
            ) from None
        if stamps == _read_stamps(table):
            with suppress(OSError):
                record.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(record, json.dumps({"version": VERSION, "shards": stamps, "rows": names}))
    return [(folder / name if name else None, path) for name, path in names]


def _write(table: Table, column: str, folder: Path) -> Iterator[tuple[str | None, str | None]]:
    told = False
    for content, path in table.iterate_bytes(column):
        if not content:
            yield None, path
            continue
        digest, suffix = hashlib.sha256(content).hexdigest()[:16], Path(path or "").suffix.lower()
        name = f"{digest[:2]}/{digest}{suffix if suffix in IMAGE_SUFFIXES else ''}"
        file = folder / name
        if not file.exists() or file.stat().st_size != len(content):
            if not told and sum(table.rows) > _MANY:
                say(f"{table.path}: its images are copied to {folder}, this once; you can delete it at any time")
            told = True
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_quickly(file, content)
        yield name, None


def _write_quickly(file: Path, content: bytes) -> None:
    """Write beside the target and rename, without waiting for the disk: what a crash damages, its hash gives away."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _read_stamps(table: Table) -> list[list[Any]]:
    """Path, size and times of the shards; a change that is so recent that another may have its time never matches."""
    stamps = []
    for file, _ in table.shards:
        stat = file.stat()
        settled = stat.st_ctime_ns < time.time_ns() - _SETTLED
        stamps.append([str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns if settled else -time.time_ns()])
    return stamps


def _read_record(record: Path, stamps: list[list[Any]]) -> list[tuple[str | None, str | None]] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(record.read_text(encoding="utf-8"))
        if content["version"] == VERSION and content["shards"] == stamps:
            return [(name, path) for name, path in content["rows"]]
    return None
