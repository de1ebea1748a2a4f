"""A data set on disk as memory-mapped uint8 arrays, made once from the publishers' files.

The store of a data set is a folder ``<data_dir>/.cnnkit/<name>/`` with four ``.npy`` files and ``provenance.json``.
It is written beside its place and renamed, so it is complete or absent. Every opening checks the hashes of the labels,
and those of the images if the time or size of their files has changed. A damaged store is made again, with a message.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnkit.data.batches import Images
from cnnkit.data.originals.download import lock
from cnnkit.data.originals.loading import ARRAYS, Originals, Place, load_originals, note_unused_mirror, read_places
from cnnkit.data.originals.sources import SAMPLE, Source, find_source
from cnnkit.errors import UserError
from cnnkit.files import replacing, replacing_folder, write_atomically
from cnnkit.notices import say

VERSION = 1
SAMPLE_FOLDER = Path(__file__).parent / "sample"


@dataclass(frozen=True, eq=False)
class Store:
    """A data set as tensors, and where it came from.

    Args:
        name: Its short name, such as ``mnist``.
        train_images: uint8 (N, C, H, W), memory-mapped copy-on-write, so writes never reach the disk; or image files
            (`cnnkit.data.image_files.ImageFiles`).
        train_labels: int64 (N,).
        test_images: uint8 (M, C, H, W).
        test_labels: int64 (M,).
        class_names: In the order of the labels.
        fingerprint: 16 hex digits of a SHA-256 over the content; the layout of the files does not matter.
        provenance: Files with their SHA-256, homepage and license; plain values only.
        large_images: The training images, larger than the net's input, for batches that are augmented; if there are.
    """

    name: str
    train_images: Images
    train_labels: Tensor
    test_images: Images
    test_labels: Tensor
    class_names: tuple[str, ...]
    fingerprint: str
    provenance: dict[str, Any]
    large_images: Images | None = None

    def select(self, part: Literal["train", "val", "test"], augmented: bool) -> tuple[str, tuple[Images, Tensor]]:
        """Return the images and labels that hold a part, and their name; larger images if they will be augmented."""
        if part == "test":
            return "test", (self.test_images, self.test_labels)
        if augmented and self.large_images is not None:
            return "large", (self.large_images, self.train_labels)
        return "train", (self.train_images, self.train_labels)


def find_data_dir(data_dir: str | None = None) -> Path:
    """Return the folder for data sets: `data_dir`, else ``$CNNKIT_DATA_DIR``, else ``data`` in the working directory.

    Raises:
        UserError: It is not a folder.
    """
    folder = Path(data_dir or os.environ.get("CNNKIT_DATA_DIR") or "data")
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise UserError(f"data_dir is {folder}, which is not a folder; name a folder for the data")
    return folder


def open_store(name: str, data_dir: str | PathLike[str], mirror: str | PathLike[str] | None = None) -> Store:
    """Open a data set, and make its store first if there is none; other processes wait and share it.

    Args:
        name: ``mnist``, ``fashion_mnist`` or ``cifar10``.
        data_dir: The folder of the data sets, writable unless the store is already there.
        mirror: Another folder, possibly read-only, that holds the publisher's files.

    Raises:
        UserError: `data_dir` cannot be written to, or the originals cannot be loaded (see `load_originals`).
    """
    source = find_source(name)
    folder = Path(data_dir).expanduser() / ".cnnkit" / name
    store = _open(name, source, folder)
    if store is not None:
        note_unused_mirror(mirror, Path(data_dir).expanduser(), [folder / "provenance.json"])
    else:
        with lock(folder.with_name(f"{name}.lock"), f"makes the store of {source.title}"):
            store = _open(name, source, folder)  # another process may have made it meanwhile
            if store is None:
                _write(name, source, load_originals(name, data_dir, mirror), folder)
                store = _open(name, source, folder)
    if store is None:
        raise UserError(f"The store {folder} cannot be read back; is its disk sound? Delete it and try again.")
    return store


@cache
def open_sample() -> Store:
    """Open the sample of Fashion-MNIST that comes with the package, in memory and checked by SHA-256.

    It has 10,000 official training images and 2,000 official test images; ``cnnkit/data/sample/README.md`` says how
    they were drawn. All calls return the same tensors: do not write to them.

    Raises:
        UserError: The installed files are damaged.

    >>> open_sample().train_images.shape
    torch.Size([10000, 1, 28, 28])
    """
    name = "fashion_mnist_sample"
    places = {file: Place(SAMPLE_FOLDER / f"{file}.xz") for file in SAMPLE.files}
    originals = read_places(SAMPLE, places, remedy="Install cnnkit again.")
    arrays = {key: array.copy() for key, array in originals.arrays.items()}  # arrays parsed from bytes are read-only
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
    """Make the provenance of a store: what it holds, from which files, on which terms."""
    arrays = originals.arrays
    return {
        "version": VERSION,
        "name": name,
        "title": source.title,
        "homepage": source.homepage,
        "licence": source.license,  # spelled so since 0.1.0
        "fingerprint": _hash_arrays(arrays),
        "sha256": {key: _hash(array) for key, array in arrays.items()},
        "shapes": {key: list(array.shape) for key, array in arrays.items()},
        "files": originals.files,
    }


def _open(name: str, source: Source, folder: Path) -> Store | None:
    """Return the store in `folder`, or None if it is missing, damaged or of another version."""
    try:
        provenance = json.loads((folder / "provenance.json").read_text())
        hashes = {file: entry["sha256"] for file, entry in provenance["files"].items()}
        if provenance["version"] != VERSION or hashes != dict(source.sha256):
            return None
        arrays = {}
        for key in ARRAYS:
            # NumPy raises a ValueError if the file is shorter than its header says.
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
    """Raise a ValueError unless the labels, and the images whose files are new, have the recorded hashes."""
    expected = provenance.get("sha256")
    if expected is None:  # an older version recorded one hash of all arrays
        if _hash_arrays(arrays) != provenance["fingerprint"]:
            raise ValueError("its content differs from its record")
        expected = provenance["sha256"] = {key: _hash(arrays[key]) for key in ARRAYS}
        with suppress(OSError):
            write_atomically(folder / "provenance.json", json.dumps(provenance, indent=2))
    seen_file, seen = folder / "verified.json", {}
    with suppress(OSError, ValueError):  # if it is missing or damaged, all files are compared
        seen = dict(json.loads(seen_file.read_text()))
    stats = {key: [stat.st_size, stat.st_mtime_ns] for key in ARRAYS for stat in [(folder / f"{key}.npy").stat()]}
    for key in ARRAYS:
        if ("labels" in key or seen.get(key) != stats[key]) and _hash(arrays[key]) != expected[key]:
            raise ValueError(f"{key}.npy differs from its record")
    if seen != stats:
        with suppress(OSError):  # if the folder cannot be written to, the next opening compares again
            write_atomically(seen_file, json.dumps(stats))


def _hash(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _hash_arrays(arrays: Mapping[str, NDArray[np.uint8]]) -> str:
    """Sixteen hex digits of a SHA-256 over all arrays and their shapes."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def _write(name: str, source: Source, originals: Originals, folder: Path) -> None:
    """Write a store beside `folder` and rename it into place; call it under the lock."""
    try:
        with replacing_folder(folder) as part:
            for key in ARRAYS:
                with replacing(part / f"{key}.npy", "wb") as file:
                    np.save(file, np.ascontiguousarray(originals.arrays[key]), allow_pickle=False)
            write_atomically(part / "provenance.json", json.dumps(_describe(name, source, originals), indent=2))
    except OSError as error:
        raise UserError(
            f"Cannot write the store of {source.title} to {folder}: {error.strerror}. Free disk space there, or name "
            "another folder as data_dir and this one as mirror."
        ) from None
