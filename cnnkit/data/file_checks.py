"""Check which files can be read as images: each is decoded once, and again only when it changes."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import PIL
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cnnkit.allocator import pause_collections
from cnnkit.data.images.decode import UnreadableImage, read_image
from cnnkit.errors import UserError
from cnnkit.files import open_regular, write_atomically
from cnnkit.notices import say
from cnnkit.threads import count_usable_cores

VERSION = 2
_MANY = 1000  # files that take so long that a progress bar is shown
_SETTLED = 2_000_000_000  # ns after which another change has another time on any file system
_CHUNK = 128  # results that may wait to be used
Item = TypeVar("Item")
Result = TypeVar("Result")


class FileCheck(NamedTuple):
    """What is known about a file."""

    size: int
    modified: int  # ns
    changed: int  # ns, set by the system alone; 0 if so recent that a later change may have the same time
    sha256: str  # of the content; 16 hex digits
    fault: str | None  # why it cannot be read


class EarlyImages:
    """Images that were decoded to check their files, as they are needed, so that none is decoded twice.

    Args:
        decode: makes uint8 pixels of a file.
        room: bytes to keep; later files are only checked.
    """

    def __init__(self, decode: Callable[[Path], Tensor], room: int) -> None:
        self.decode, self.room = decode, room
        self.images: dict[str, Tensor] = {}  # by content

    def add(self, content: str, pixels: Tensor) -> None:
        """Keep the pixels of a content."""
        self.room -= pixels.nbytes
        self.images[content] = pixels


def check_files(
    root: Path, files: Sequence[Path], max_pixels: int, record_folder: Path, early: EarlyImages | None = None
) -> list[FileCheck]:
    """Decode every file that is new or changed since the last time, in as many threads as there are cores.

    The record of the last time is in `record_folder`, and so is the new one; if it cannot be written, the files are
    checked each time. Nothing is written beside the images. An image of more than `max_pixels` is faulty. `early` gets
    images that had to be decoded.

    Returns:
        One check for each file, in their order.
    """
    key = hashlib.sha256(f"{root.resolve()} {max_pixels}".encode()).hexdigest()[:16]
    record, head = record_folder / f"{key}.json", {"version": VERSION, "pillow": PIL.__version__, "root": str(root)}
    known = _read_record(record, head)
    names = [cut_root(file, root) for file in files]
    stats = [_read_size_and_times(file) for file in files]
    new = [i for i, name in enumerate(names) if name not in known or known[name][:3] != stats[i]]
    if len(new) > _MANY:
        say(f"checking {len(new):,} images of {root}, this once")
    sound = {(check.sha256, Path(name).suffix) for name, check in known.items() if new and not check.fault}
    check = partial(_check, sound=sound, max_pixels=max_pixels, early=early)
    checks = map_in_threads(check, [(files[i], stats[i]) for i in new], "checking")
    known.update(zip((names[i] for i in new), checks, strict=True))
    if new or len(known) > len(names):
        with suppress(OSError):
            record_folder.mkdir(parents=True, exist_ok=True)
            write_atomically(record, json.dumps({**head, "files": {name: known[name] for name in names}}))
    return [known[name] for name in names]


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item], label: str) -> Iterator[Result]:
    """Yield the function's results in order, from as many threads as there are cores; show a bar if there are many."""
    quiet = len(items) <= _MANY or not sys.stderr.isatty()
    with ThreadPoolExecutor(count_usable_cores()) as pool:
        chunks = (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
        results: Iterable[Result] = (result for chunk in chunks for result in pool.map(function, chunk))
        yield from track(results, label, len(items), console=Console(stderr=True), transient=True, disable=quiet)


def cut_root(file: Path, root: Path) -> str:
    """Return the path of a file below a folder, with slashes; faster than `Path.relative_to`.

    >>> cut_root(Path("photos/cat/0.jpg"), Path("photos")), cut_root(Path("cat/0.jpg"), Path())
    ('cat/0.jpg', 'cat/0.jpg')
    """
    return file.as_posix().removeprefix(root.as_posix().removesuffix("/") + "/")


def hash_file(file: Path) -> str:
    """Hash the content of a file to 16 hex digits.

    Raises:
        OSError: it cannot be read.
        UserError: it is no regular file.
    """
    with open_regular(file, "rb") as content:
        return hashlib.file_digest(cast(BufferedReader, content), "sha256").hexdigest()[:16]


@pause_collections()
def _read_record(record: Path, head: dict[str, object]) -> dict[str, FileCheck]:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if all(content[key] == value for key, value in head.items()):
            return {name: FileCheck(*values) for name, values in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or not ours: check again
    return {}


def _read_size_and_times(file: Path) -> tuple[int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _check(
    job: tuple[Path, tuple[int, int, int]],
    sound: AbstractSet[tuple[str, str]],
    max_pixels: int,
    early: EarlyImages | None,
) -> FileCheck:
    """Check a file of a size and times; it is not decoded if its content and suffix are known to be `sound`."""
    file, times = job
    settled = times[2] if times[2] < time.time_ns() - _SETTLED else 0
    if sound:
        with suppress(OSError, UserError):
            if ((content := hash_file(file)), file.suffix) in sound:
                return FileCheck(*times[:2], settled, content, None)
    keeps = early is not None and early.room > 0
    try:
        # A small size makes JPEGs quick to decode, and still reads them to their end.
        pixels = early.decode(file) if early and keeps else read_image(file, 1, (8, 8), "squash", max_pixels)
        content, fault = hash_file(file), None
        if early and keeps and settled and _read_size_and_times(file) == times:  # it did not change meanwhile
            early.add(content, pixels)
    except UnreadableImage as error:
        content, fault = "", error.args[1]
    except OSError as error:
        content, fault = "", str(error.strerror)
    return FileCheck(*times[:2], settled, content, fault)
