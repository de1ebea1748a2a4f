"""The publishers' file formats, read from bytes with NumPy: IDX, CIFAR records, CIFAR pickles.

Every problem is a ``ValueError`` whose text is the reason; the caller knows the file's name and adds it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from cnnkit.data.archives import shorten
from cnnkit.data.plain_pickle import load_plain

CIFAR_IMAGE = (3, 32, 32)
CIFAR_RECORD = 1 + math.prod(CIFAR_IMAGE)
PICKLE_MARGIN = 4 << 20  # bytes: a pickle also holds each image's file name, some thirty bytes


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

    Raises:
        ValueError: The pickle asks for anything but plain values and uint8 arrays (nothing of it is then run), or
            what it holds is not a CIFAR batch.
    """
    try:
        batch = load_plain(pickled)
        batch = {key if isinstance(key, bytes) else key.encode(): value for key, value in batch.items()}
        labels = np.array(batch[b"labels"], np.uint8)[:, None]
        return np.hstack([labels, batch[b"data"].values]).tobytes()
    except Exception as error:  # a broken pickle can raise nearly anything
        raise ValueError(f"it is not a CIFAR batch of plain values ({shorten(error)})") from None
