"""Which files can be read as images: each is decoded once to see, and not again until it changes."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import PIL

from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.files import write_atomically
from cnnkit.notices import say

VERSION = 1
_MANY = 1000  # files that take long enough to say that they are being checked


class Check(NamedTuple):
    """What is known of a file."""

    size: int
    modified: int  # ns
    sha256: str  # of the content; 16 hex digits
    fault: str | None  # why it cannot be read


def check_files(root: Path, files: Sequence[Path], max_pixels: int, record_folder: Path) -> list[Check]:
    """Decode every file that is new or changed since the last time, in as many threads as there are cores.

    Args:
        root: the folder they are in.
        files: image files below it.
        max_pixels: larger images are faulty.
        record_folder: where the record of the last time lies, and the new one is written to. Nothing is written
            beside the images, and where nothing can be written the files are checked each time.

    Returns:
        One check a file, in their order.
    """
    key = hashlib.sha256(f"{root.resolve()} {max_pixels}".encode()).hexdigest()[:16]
    record, head = record_folder / f"{key}.json", {"version": VERSION, "pillow": PIL.__version__, "root": str(root)}
    known = _known(record, head)
    names = [file.relative_to(root).as_posix() for file in files]
    stats = [_size_and_time(file) for file in files]
    new = [i for i, name in enumerate(names) if name not in known or known[name][:2] != stats[i]]
    if new:
        if len(new) > _MANY:
            say(f"checking {len(new):,} images of {root}, this once")
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
            checks = pool.map(lambda i: Check(*stats[i], *_look(files[i], max_pixels)), new)
            known.update(zip((names[i] for i in new), checks, strict=True))
    if new or len(known) > len(names):
        with suppress(OSError):
            record_folder.mkdir(parents=True, exist_ok=True)
            write_atomically(record, json.dumps({**head, "files": {name: known[name] for name in names}}))
    return [known[name] for name in names]


def _known(record: Path, head: dict[str, object]) -> dict[str, Check]:
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        if all(found[key] == value for key, value in head.items()):
            return {name: Check(*values) for name, values in found["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or not ours: check again
    return {}


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _look(file: Path, max_pixels: int) -> tuple[str, str | None]:
    try:
        # A small size makes JPEGs quick to decode, and still reads them to their end.
        read_image(file, 1, (8, 8), "squash", max_pixels)
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()[:16], None
    except UnreadableImage as error:
        return "", error.args[1]
    except OSError as error:
        return "", str(error.strerror)
