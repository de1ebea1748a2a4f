"""A data set on disk as memory-mapped uint8 arrays, made once from the publishers' files and quick to open again.

The store of a data set is a folder ``<data_dir>/.cnnkit/<name>/`` with four ``.npy`` files and ``provenance.json``.
It is written beside its place and renamed, so it is complete or absent. Labels are checked against their hash at every
opening, images once for each time and size of their files; a damaged store is made again, and that is said.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnkit.data.batches import Images
from cnnkit.data.download import lock
from cnnkit.data.originals import Originals, Place, load_originals, read_places
from cnnkit.data.sources import SAMPLE, Source, find_source
from cnnkit.errors import UserError
from cnnkit.files import replacing, write_atomically
from cnnkit.notices import say

VERSION = 1
SAMPLE_FOLDER = Path(__file__).parent / "sample"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, eq=False)
class Store:
    """A data set as tensors, and where it came from.

    Args:
        name: Its short name, such as ``mnist``.
        train_images: uint8 (N, C, H, W), memory-mapped copy-on-write: what is written to it never reaches the disk. Or
            image files (`cnnkit.data.image_files.ImageFiles`).
        train_labels: int64 (N,).
        test_images: uint8 (M, C, H, W).
        test_labels: int64 (M,).
        class_names: In the order of the labels.
        fingerprint: 16 hex digits of a SHA-256 over the content, whatever files it came from.
        provenance: Files with their SHA-256, homepage and licence; plain values only.
    """

    name: str
    train_images: Images
    train_labels: Tensor
    test_images: Images
    test_labels: Tensor
    class_names: tuple[str, ...]
    fingerprint: str
    provenance: dict[str, Any]


def find_data_dir(data_dir: str | None = None) -> Path:
    """The folder for data sets: the one named, else ``$CNNKIT_DATA_DIR``, else ``data`` in the working directory.

    Raises:
        UserError: It is no folder.
    """
    folder = Path(data_dir or os.environ.get("CNNKIT_DATA_DIR") or "data")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UserError(f"data_dir is {folder}, which is no folder; name a folder for the data")
    return folder


def open_store(name: str, data_dir: str | PathLike[str], mirror: str | PathLike[str] | None = None) -> Store:
    """Open a data set, making its store first where there is none; other processes wait for that and share it.

    Opening what is there compares hashes of record, headers, lengths and labels; pixels only if their files are new.

    Args:
        name: ``mnist``, ``fashion_mnist`` or ``cifar10``.
        data_dir: The folder of the data sets, writable unless the store is already there.
        mirror: Another folder, possibly read-only, that holds the publisher's files.

    Raises:
        UserError: `data_dir` cannot be written to, or the originals cannot be had (see `load_originals`).
    """
    source = find_source(name)
    folder = Path(data_dir).expanduser() / ".cnnkit" / name
    store = _open(name, source, folder)
    if store is None:
        with lock(folder.with_name(f"{name}.lock")):
            store = _open(name, source, folder)  # another process may have made it meanwhile
            if store is None:
                _write(name, source, load_originals(name, data_dir, mirror), folder)
                store = _open(name, source, folder)
    if store is None:
        raise UserError(f"The store {folder} cannot be read back; is its disk sound? Delete it and try again.")
    return store


@cache
def open_sample() -> Store:
    """Open the sample of Fashion-MNIST that the package brings along, in memory and checked by SHA-256.

    10,000 of the official training images and 2,000 of the official test images, 1,000 and 200 of each class, in the
    publisher's order; ``cnnkit/data/sample/README.md`` tells how they were drawn. Nothing is written. The first call
    decompresses, later ones return the same tensors: do not write to them.

    Raises:
        UserError: The installed files are damaged.

    >>> open_sample().train_images.shape
    torch.Size([10000, 1, 28, 28])
    """
    name = "fashion_mnist_sample"
    places = {file: Place(SAMPLE_FOLDER / f"{file}.xz") for file in SAMPLE.files}
    originals = read_places(SAMPLE, places, remedy="Install cnnkit again.")
    arrays = {key: getattr(originals, key).copy() for key in ARRAYS}  # what was parsed from bytes is read-only
    return _as_store(name, SAMPLE, arrays, _describe(name, SAMPLE, originals))


def _as_store(name: str, source: Source, arrays: Mapping[str, NDArray[np.uint8]], provenance: dict[str, Any]) -> Store:
    """Wrap four uint8 arrays, named as in `ARRAYS`; the images are shared, not copied."""
    tensors = {key: torch.from_numpy(arrays[key]) for key in ARRAYS}
    return Store(
        name=name,
        train_images=tensors["train_images"],
        train_labels=tensors["train_labels"].long(),
        test_images=tensors["test_images"],
        test_labels=tensors["test_labels"].long(),
        class_names=source.class_names,
        fingerprint=provenance["fingerprint"],
        provenance=provenance,
    )


def _describe(name: str, source: Source, originals: Originals) -> dict[str, Any]:
    """The provenance of a store: what it holds, from which files, on which terms."""
    return {
        "version": VERSION,
        "name": name,
        "title": source.title,
        "homepage": source.homepage,
        "licence": source.licence,
        "fingerprint": _fingerprint({key: getattr(originals, key) for key in ARRAYS}),
        "sha256": {key: _hash(getattr(originals, key)) for key in ARRAYS},
        "shapes": {key: list(getattr(originals, key).shape) for key in ARRAYS},
        "files": originals.files,
    }


def _open(name: str, source: Source, folder: Path) -> Store | None:
    """The store in `folder`, or None where there is none that is whole and of this version."""
    try:
        provenance = json.loads((folder / "provenance.json").read_text())
        hashes = {file: entry["sha256"] for file, entry in provenance["files"].items()}
        if provenance["version"] != VERSION or hashes != dict(source.sha256):
            return None
        arrays = {}
        for key in ARRAYS:
            # A file shorter than its header says cannot be mapped: ValueError.
            array = arrays[key] = np.load(folder / f"{key}.npy", mmap_mode="c", allow_pickle=False)
            if array.dtype != np.uint8 or list(array.shape) != provenance["shapes"][key]:
                raise ValueError(f"{key}.npy has another shape")
        _verify(folder, provenance, arrays)
        return _as_store(name, source, arrays, provenance)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        if folder.exists():
            reason = " ".join(str(error).split()) or type(error).__name__
            say(f"{folder}: the store is damaged ({reason}); it is made again from the originals")
        return None


def _verify(folder: Path, provenance: dict[str, Any], arrays: Mapping[str, NDArray[np.uint8]]) -> None:
    """Compare labels with their hashes, and images whose files have not been compared since they were written.

    Raises:
        ValueError: one differs.
    """
    expected = provenance.get("sha256")
    if expected is None:  # by an older version, which kept one hash of them all
        if _fingerprint(arrays) != provenance["fingerprint"]:
            raise ValueError("its content is not what its record says")
        expected = provenance["sha256"] = {key: _hash(arrays[key]) for key in ARRAYS}
        with suppress(OSError):
            write_atomically(folder / "provenance.json", json.dumps(provenance, indent=2))
    seen_file, seen = folder / "verified.json", {}
    with suppress(OSError, ValueError):  # without it, or where it is damaged, all are compared
        seen = dict(json.loads(seen_file.read_text()))
    stats = {key: [stat.st_size, stat.st_mtime_ns] for key in ARRAYS for stat in [(folder / f"{key}.npy").stat()]}
    for key in ARRAYS:
        if ("labels" in key or seen.get(key) != stats[key]) and _hash(arrays[key]) != expected[key]:
            raise ValueError(f"{key}.npy is not what its record says")
    if seen != stats:
        with suppress(OSError):  # a folder that cannot be written to is compared each time
            write_atomically(seen_file, json.dumps(stats))


def _hash(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _fingerprint(arrays: Mapping[str, NDArray[np.uint8]]) -> str:
    """Sixteen hex digits of a SHA-256 over all arrays and their shapes."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def _write(name: str, source: Source, originals: Originals, folder: Path) -> None:
    """Write a store beside `folder` and rename it into place; call it under the lock."""
    for stale in folder.parent.glob(f".{name}-*"):  # left by a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    part = folder.with_name(f".{name}-{token_hex(4)}")
    try:
        part.mkdir(parents=True)
        for key in ARRAYS:
            with replacing(part / f"{key}.npy", "wb") as file:
                np.save(file, np.ascontiguousarray(getattr(originals, key)), allow_pickle=False)
        write_atomically(part / "provenance.json", json.dumps(_describe(name, source, originals), indent=2))
        if folder.exists():  # damaged or of another version: a mapping that is still open keeps its files
            folder.rename(folder.with_name(f".{name}-{token_hex(4)}"))
        part.rename(folder)
    except OSError as error:
        raise UserError(
            f"Cannot write the store of {source.title} to {folder}: {error.strerror}. Make room there, or name another "
            "folder as data_dir and this one as mirror."
        ) from None
    finally:
        for leftover in folder.parent.glob(f".{name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
