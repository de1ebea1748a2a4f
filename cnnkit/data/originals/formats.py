"""The publishers' file formats, read with the standard library and NumPy: gzip, tar, IDX, CIFAR records and pickles.

Every problem is a ``ValueError`` with the reason; the caller adds the name of the file.
"""

import gzip
import io
import lzma
import math
import pickle
import tarfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

CIFAR_IMAGE = (3, 32, 32)
CIFAR_RECORD = 1 + math.prod(CIFAR_IMAGE)


def read_file(path: Path, limit: int) -> bytes:
    """Read a file, decompressed where its name ends in ``.gz`` or ``.xz``: `limit` bytes at most.

    Raises:
        ValueError: It holds more, cannot be read or cannot be decompressed.
    """
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(path.suffix, open)(path, "rb") as file:
            content: bytes = file.read(limit + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"it cannot be read ({' '.join(str(error).split())[:100]})") from None
    if len(content) > limit:
        raise ValueError(f"it holds more than the {limit} bytes it should")
    return content


def read_members(archive: IO[bytes], names: Collection[str]) -> dict[str, bytes]:
    """Read files from a tar archive; check its hash first, because its size is not limited here."""
    with tarfile.open(fileobj=archive) as opened:
        return {name: cast(IO[bytes], opened.extractfile(name)).read() for name in names}


def parse_idx(raw: bytes) -> NDArray[np.uint8]:
    """Parse an IDX file of bytes (LeCun et al., the format of MNIST).

    Two zero bytes, the type (8: uint8), the number of dimensions, each dimension as a big-endian int32, the values.

    Raises:
        ValueError: The magic number, the type or the length is not that of an IDX file of bytes.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise ValueError("it is not an IDX file")
    kind, ndim = raw[2], raw[3]
    if kind != 8 or not 1 <= ndim <= 4:
        raise ValueError(f"its IDX header says type {kind} with {ndim} dimensions, not bytes with 1 to 4")
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise ValueError("it ends inside its IDX header")
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", count=ndim, offset=4))
    if len(raw) - start != math.prod(shape):
        raise ValueError(f"it holds {len(raw) - start} values where its header says {shape}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def parse_cifar(raw: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split CIFAR-10 records (a label byte, then 3 x 32 x 32 bytes) into images (N, 3, 32, 32) and labels (N,).

    Raises:
        ValueError: The length is not a whole number of records.
    """
    if len(raw) % CIFAR_RECORD:
        raise ValueError(f"its {len(raw)} bytes are not a whole number of {CIFAR_RECORD}-byte records")
    records = np.frombuffer(raw, np.uint8).reshape(-1, CIFAR_RECORD)
    return records[:, 1:].reshape(-1, *CIFAR_IMAGE), records[:, 0]


def convert_cifar_pickle(pickled: bytes) -> bytes:
    """Turn a batch of CIFAR-10's Python version into the records of its binary version, so that one hash serves both.

    A pickle is a program, so check its hash first; here it may use nothing but NumPy's arrays.

    Raises:
        ValueError: The pickle names anything but NumPy's arrays.
    """
    batch = _ArrayUnpickler(io.BytesIO(pickled), encoding="bytes").load()
    return np.hstack([np.array(batch[b"labels"], np.uint8)[:, None], batch[b"data"]]).tobytes()


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        name = f"{module_name}.{global_name}".replace("numpy.core.", "numpy._core.")
        if name not in ("numpy.dtype", "numpy.ndarray", "numpy._core.multiarray._reconstruct", "_codecs.encode"):
            raise ValueError(f"its pickle asks for {name}")
        return super().find_class(module_name.replace("numpy.core", "numpy._core"), global_name)
