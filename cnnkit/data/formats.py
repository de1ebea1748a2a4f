"""The publishers' file formats, read from bytes with NumPy: IDX, CIFAR records, CIFAR pickles, their wrappers.

Nothing here trusts what it reads: sizes are capped before anything is decompressed, archives are never extracted to
disk, and a pickle may hold plain values and uint8 arrays only. Every problem is a ``ValueError`` whose text is the
reason; the caller knows the file's name and adds it.
"""

import gzip
import io
import lzma
import math
import pickle
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

CIFAR_IMAGE = (3, 32, 32)
CIFAR_RECORD = 1 + math.prod(CIFAR_IMAGE)
# A pickle also holds each image's file name, some thirty bytes; an archive has eight members.
PICKLE_MARGIN, MAX_MEMBERS = 4 << 20, 64


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


def cifar_records(pickled: bytes) -> bytes:
    """Turn a batch of CIFAR-10's Python version into the records of its binary version, so that one hash serves both.

    Raises:
        ValueError: The pickle asks for anything but plain values and uint8 arrays (nothing of it is then run), or
            what it holds is not a CIFAR batch.
    """
    try:
        batch = _PlainUnpickler(io.BytesIO(pickled), encoding="bytes").load()
        batch = {key if isinstance(key, bytes) else key.encode(): value for key, value in batch.items()}
        labels = np.array(batch[b"labels"], np.uint8)[:, None]
        return np.hstack([labels, batch[b"data"].values]).tobytes()
    except Exception as error:  # a broken pickle can raise nearly anything
        raise ValueError(f"it is not a CIFAR batch of plain values ({_short(error)})") from None


def read_file(path: Path, limit: int) -> bytes:
    """Read a file, decompressed where its name ends in ``.gz`` or ``.xz``.

    Raises:
        ValueError: It holds more than `limit` bytes, cannot be read or cannot be decompressed.
    """
    try:
        with _opened(path) as file:
            raw = file.read(limit + 1)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"it cannot be read ({_short(error)})") from None
    if len(raw) > limit:
        raise ValueError(f"it holds more than the {limit} bytes it should")
    return raw


def read_members(path: Path, names: Collection[str], limit: int) -> dict[str, bytes]:
    """Read files from a ``.tar.gz`` in memory, by their exact names, in one pass.

    Raises:
        ValueError: The archive cannot be read, is not the size it should be, or lacks one of the names.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS or member.size > limit:
                    raise ValueError(f"its member {member.name} is not the publisher's")
                file = archive.extractfile(member) if member.name in names and member.isfile() else None
                if file is not None:
                    found[member.name] = file.read()
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"it cannot be read ({_short(error)})") from None
    if missing := sorted(set(names) - set(found)):
        raise ValueError(f"it has no {missing[0]}")
    return found


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    return lzma.open(path) if path.suffix == ".xz" else path.open("rb")


def _short(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:100] or type(error).__name__


class _Dtype:
    """Stands in for ``numpy.dtype``: keeps the code's name and ignores the state, which says nothing more for bytes."""

    def __init__(self, code: bytes | str, *_: object) -> None:
        self.code = code.decode() if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands in for ``numpy.ndarray``: admits bytes in C order and nothing else."""

    values: NDArray[np.uint8]

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, fortran_order, raw = state
        if dtype.code != "u1" or fortran_order or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array that is not plain uint8")
        self.values = np.frombuffer(raw, np.uint8).reshape(shape)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin1")


class _PlainUnpickler(pickle.Unpickler):
    """Knows five names, each replaced by a stand-in above, so that not even NumPy's own code meets foreign bytes."""

    known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.known:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return self.known[module_name, global_name]
