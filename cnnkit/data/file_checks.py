"""Check which files can be read as images: each is decoded once, and again only when it changes."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import PIL
from rich.console import Console
from rich.progress import track

from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.files import write_atomically
from cnnkit.notices import say

VERSION = 1
_MANY = 1000  # files whose check takes so long that it is announced


class FileCheck(NamedTuple):
    """What is known about a file."""

    size: int
    modified: int  # ns
    sha256: str  # of the content; 16 hex digits
    fault: str | None  # why it cannot be read


def check_files(root: Path, files: Sequence[Path], max_pixels: int, record_folder: Path) -> list[FileCheck]:
    """Decode every file that is new or changed since the last time, in as many threads as there are cores.

    The record of the last time is in `record_folder`, and so is the new one; if it cannot be written, the files are
    checked each time. Nothing is written beside the images. An image of more than `max_pixels` is faulty.

    Returns:
        One check for each file, in their order.
    """
    key = hashlib.sha256(f"{root.resolve()} {max_pixels}".encode()).hexdigest()[:16]
    record, head = record_folder / f"{key}.json", {"version": VERSION, "pillow": PIL.__version__, "root": str(root)}
    known = _read_record(record, head)
    names = [file.relative_to(root).as_posix() for file in files]
    stats = [_read_size_and_time(file) for file in files]
    new = [i for i, name in enumerate(names) if name not in known or known[name][:2] != stats[i]]
    if new:
        if is_long := len(new) > _MANY:
            say(f"checking {len(new):,} images of {root}, this once")
        quiet = not is_long or not sys.stderr.isatty()
        with ThreadPoolExecutor(count_cores()) as pool:
            checks = pool.map(lambda i: FileCheck(*stats[i], *_decode_and_hash(files[i], max_pixels)), new)
            shown = track(checks, "checking", len(new), console=Console(stderr=True), transient=True, disable=quiet)
            known.update(zip((names[i] for i in new), shown, strict=True))
    if new or len(known) > len(names):
        with suppress(OSError):
            record_folder.mkdir(parents=True, exist_ok=True)
            write_atomically(record, json.dumps({**head, "files": {name: known[name] for name in names}}))
    return [known[name] for name in names]


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_record(record: Path, head: dict[str, object]) -> dict[str, FileCheck]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if all(content[key] == value for key, value in head.items()):
            return {name: FileCheck(*values) for name, values in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or not ours: check again
    return {}


def _read_size_and_time(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _decode_and_hash(file: Path, max_pixels: int) -> tuple[str, str | None]:
    try:
        # A small size makes JPEGs quick to decode, and still reads them to their end.
        read_image(file, 1, (8, 8), "squash", max_pixels)
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:16], None
    except UnreadableImage as error:
        return "", error.args[1]
    except OSError as error:
        return "", str(error.strerror)
