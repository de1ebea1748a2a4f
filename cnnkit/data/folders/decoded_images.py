"""The decoded images of a folder, kept on disk: a later run maps them into memory and decodes nothing.

They are in a folder of their own, ``pixels.bin`` (uint8, one image after the other), ``about.json``, which has the
content hash of each image, and ``verified.json``. It is written beside its place and renamed, so it is complete or
absent. An image is found by the hash of its file's content, so a changed file never gets old pixels, and a renamed one
is not decoded again.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnkit.data.batches import Images
from cnnkit.data.file_checks import hash_file, map_in_threads
from cnnkit.data.folders.folder_images import LabeledImage
from cnnkit.data.image_files import ImageFiles
from cnnkit.errors import UserError
from cnnkit.files import replacing, replacing_folder, write_atomically
from cnnkit.notices import say
from cnnkit.runs.lock import hold_lock

VERSION = 1
_CHUNK = 256  # images that are copied at a time
_MANY = 1000  # images that take so long to decode that it is announced


class DecodedImages(NamedTuple):
    """Decoded images.

    Args:
        pixels: uint8 (N, C, H, W), memory-mapped copy-on-write.
        rows: the place of each content; -1 for one that could not be decoded.
    """

    pixels: Tensor
    rows: dict[str, int]


@dataclass(frozen=True)
class DecodedImageStore:
    """Where the decoded images of a folder are, and how they are made.

    Args:
        parent: of all such stores.
        root: the folder of images.
        shape: of an image, (C, H, W).
        decode: makes uint8 (C, H, W) of a file.
        settings: everything that decides which pixels `decode` makes of a content.
    """

    parent: Path
    root: Path
    shape: tuple[int, int, int]
    decode: Callable[[Path], Tensor]
    settings: str

    @cached_property
    def folder(self) -> Path:
        """The store's own folder; other settings have another one."""
        key = hashlib.sha256(repr((VERSION, str(self.root.resolve()), self.shape, self.settings)).encode()).hexdigest()
        return self.parent / key[:16]

    def open(self) -> DecodedImages | None:
        """Map what was kept into memory; None if there is nothing, or it is damaged."""
        if (found := self._open()) is not None:
            say(f"{self.root}: {len(found.pixels):,} decoded images from {self.folder} ({_format_size(found.pixels)})")
        return found

    def open_or_write(
        self, images: Mapping[str, Path], bounded: bool = True, early: Mapping[str, Tensor] | None = None
    ) -> DecodedImages | None:
        """Map the images into memory; first decode and keep those that are missing. Other processes wait and share.

        Args:
            images: a file of each content.
            bounded: keep nothing if all stores together would take more than half of what the disk has room for.
            early: contents that are decoded already.

        Returns:
            The images; None if they are not kept: there is no room, or the folder cannot be written to.
        """
        found = self._open()
        if not images or (found is not None and images.keys() <= found.rows.keys()):
            return self.open()
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            waiting = f"{self.root}: another process decodes these images; waiting for it"
            with hold_lock(self.folder.with_suffix(".lock"), str, seconds=-1, waiting=waiting):
                found = self._open()
                if found is not None and images.keys() <= found.rows.keys():  # another process has made it meanwhile
                    return self.open()
                if bounded and not self._make_room(len(images) * math.prod(self.shape)):
                    return None
                self._write(images, found, early or {})
                found = self._open()
        except OSError as error:
            say(f"{self.folder}: decoded images are not kept ({error.strerror or error}); the run goes on without")
            return None
        return found

    def _open(self) -> DecodedImages | None:
        file = self.folder / "pixels.bin"
        try:
            about = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
            contents, stat = about["contents"], file.stat()
            stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            pixels = np.memmap(file, np.uint8, "c", shape=(len(contents), *self.shape))
            if stat.st_size != pixels.nbytes:
                return None
            if _read_stamp(self.folder) != stamp:
                if hashlib.sha256(pixels.data).hexdigest() != about["sha256"]:
                    return None
                _write_stamp(self.folder, stamp)
            rows = {**dict.fromkeys(about["unreadable"], -1), **{name: row for row, name in enumerate(contents)}}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        with suppress(OSError):
            os.utime(self.folder)  # the one that was used longest ago is deleted first
        return DecodedImages(torch.from_numpy(pixels), rows)

    def _make_room(self, need: int) -> bool:
        """Whether there is room for so many bytes; stores that were used longest ago are deleted for it."""
        others = [path for path in self.parent.iterdir() if (path / "about.json").exists() and path != self.folder]
        taken = {path: (path / "pixels.bin").stat().st_size for path in others}
        own = self.folder / "pixels.bin"
        kept = sum(taken.values()) + (own.stat().st_size if own.exists() else 0)
        room = (shutil.disk_usage(self.parent).free + kept) // 2
        if need > room:
            return False
        for path in sorted(others, key=lambda path: path.stat().st_mtime):
            if need + sum(taken.values()) <= room:
                break
            del taken[path]
            shutil.rmtree(path, ignore_errors=True)
            say(f"{path}: decoded images deleted, as others need the room")
        return True

    def _write(self, images: Mapping[str, Path], old: DecodedImages | None, early: Mapping[str, Tensor]) -> None:
        """Write what is known already and what is new; contents that are gone stay while they are the minority."""
        if old is None and self.folder.exists():
            say(f"{self.folder}: the decoded images are damaged; they are decoded again")
        rows = old.rows if old is not None else {}
        gone = [content for content in rows if content not in images]
        contents = [content for content in images if content in rows] + gone * (len(gone) <= len(images))
        unreadable = [content for content in contents if rows[content] < 0]
        contents = [content for content in contents if rows[content] >= 0]
        new = {content: file for content, file in images.items() if content not in rows}
        if (count := len(new.keys() - early.keys())) > _MANY:
            say(f"decoding {count:,} images of {self.root}, this once")
        digest = hashlib.sha256()
        with replacing_folder(self.folder) as part:
            with replacing(part / "pixels.bin", "wb") as file:
                for start in range(0, len(contents), _CHUNK):
                    assert old is not None
                    at = torch.tensor([rows[content] for content in contents[start : start + _CHUNK]])
                    _append(file.write, digest.update, old.pixels[at])
                decode = partial(self._decode, early=early)
                for content, pixels in map_in_threads(decode, list(new.items()), "decoding"):
                    if pixels is None:
                        unreadable.append(content)
                    elif len(pixels):  # else the file has changed
                        contents.append(content)
                        _append(file.write, digest.update, pixels)
            about = {"root": str(self.root), "settings": self.settings, "shape": self.shape}
            about |= {"sha256": digest.hexdigest(), "contents": contents, "unreadable": unreadable}
            write_atomically(part / "about.json", json.dumps(about))
            stat = (part / "pixels.bin").stat()
            _write_stamp(part, [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
        where = f"{self.folder} ({_format_size(stat.st_size)}); you can delete it at any time"
        say(f"{self.root}: {len(new):,} image{'s' * (len(new) != 1)} decoded, {len(contents):,} kept in {where}")

    def _decode(self, item: tuple[str, Path], early: Mapping[str, Tensor]) -> tuple[str, Tensor | None]:
        """Decode a file; no pixels if it no longer has that content, None if it cannot be read."""
        content, file = item
        if content in early:
            return content, early[content]
        try:
            pixels = self.decode(file)
            return content, pixels if hash_file(file) == content else pixels[:0]
        except (UserError, OSError):
            return content, None


def use_decoded_images(
    place: DecodedImageStore,
    images: Sequence[tuple[Images | None, Sequence[LabeledImage]]],
    write: bool,
    bounded: bool,
    early: Mapping[str, Tensor],
) -> None:
    """Let image files take their pixels from a store.

    Args:
        place: the store.
        images: the image files, and the images that they stand for.
        write: first decode and keep those that are missing; else take what is there.
        bounded: see `DecodedImageStore.open_or_write`.
        early: contents that are decoded already.
    """
    files = {image.content: image.file for _, labeled in images for image in labeled}
    found = place.open_or_write(files, bounded, early) if write else place.open()
    for some, labeled in images:
        if found is not None and isinstance(some, ImageFiles):
            rows = [found.rows.get(image.content, -1) for image in labeled]
            some.use_stored(found.pixels, torch.tensor(rows, dtype=torch.int64))


def _append(write: Callable[[memoryview], object], update: Callable[[memoryview], object], pixels: Tensor) -> None:
    data = pixels.numpy().data
    write(data)
    update(data)


def _read_stamp(folder: Path) -> object:
    with suppress(OSError, ValueError):
        return json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    return None


def _write_stamp(folder: Path, stamp: list[int]) -> None:
    with suppress(OSError):  # then the next opening compares the hash again
        write_atomically(folder / "verified.json", json.dumps(stamp))


def _format_size(size: int | Tensor) -> str:
    megabytes = (size if isinstance(size, int) else size.nbytes) / 1e6
    return f"{megabytes:,.0f} MB" if megabytes >= 100 else f"{megabytes:.2g} MB"
