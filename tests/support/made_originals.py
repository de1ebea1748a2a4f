"""Small made-up originals in every form the publishers use."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COUNTS = {"mnist": (20, 10), "fashion_mnist": (20, 10), "cifar10": (10, 2)}


@dataclass
class MadeSet:
    """Raw files of a made-up set and its arrays; `lay` writes them below a folder in one of the layouts."""

    files: dict[str, bytes]
    arrays: dict[str, np.ndarray]

    def lay(self, folder: Path, layout: str) -> Path:
        LAYOUTS[layout](self.files, folder)
        return folder


def make_idx(seed: int) -> MadeSet:
    rng = np.random.default_rng(seed)
    files, arrays = {}, {}
    for split, prefix, n in (("train", "train", 20), ("test", "t10k", 10)):
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">HBBIII", 0, 8, 3, n, 28, 28) + images.tobytes()
        files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">HBBI", 0, 8, 1, n) + labels.tobytes()
        arrays |= {f"{split}_images": images[:, None], f"{split}_labels": labels}
    return MadeSet(files, arrays)


def make_cifar() -> MadeSet:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 3, 32, 32), np.uint8), rng.integers(0, 10, 12, np.uint8)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    files = {
        name: b"".join(bytes([labels[i]]) + images[i].tobytes() for i in (2 * k, 2 * k + 1))
        for k, name in enumerate(names)
    }
    arrays = {"train_images": images[:10], "train_labels": labels[:10]}
    return MadeSet(files, arrays | {"test_images": images[10:], "test_labels": labels[10:]})


def write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)


def tar_gz(members: dict[str, bytes]) -> bytes:
    """The same bytes whenever it is made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return gzip.compress(buffer.getvalue(), mtime=0)


def pickle_2(raw: bytes) -> bytes:
    """Two records as Python 2 pickled them, in the form of the published archive (byte strings, numpy.core)."""
    labels, pixels = raw[::3073], raw[1:3073] + raw[3074:]
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c\x86"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = array + dtype + b"\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    return b"\x80\x02}(U\x04data" + data + b"U\x06labels](K" + labels[:1] + b"K" + labels[1:] + b"eu."


def _each(pattern: str, encode: Callable[[bytes], bytes] = bytes) -> Callable[[dict[str, bytes], Path], None]:
    def lay(files: dict[str, bytes], folder: Path) -> None:
        for name, raw in files.items():
            write(folder / pattern.format(file=name, stem=name.removesuffix(".bin")), encode(raw))

    return lay


def pack(files: dict[str, bytes]) -> dict[str, bytes]:
    """CIFAR's archives and pickles, by name."""
    pickles = {name.removesuffix(".bin"): pickle_2(raw) for name, raw in files.items()}
    binary = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    binary |= {f"cifar-10-batches-bin/{name}": raw for name, raw in files.items()}
    python = {f"cifar-10-batches-py/{name}": raw for name, raw in pickles.items()}
    return {"cifar-10-binary.tar.gz": tar_gz(binary), "cifar-10-python.tar.gz": tar_gz(python), **pickles}


def _archive(name: str) -> Callable[[dict[str, bytes], Path], None]:
    return lambda files, folder: write(folder / name, pack(files)[name])


LAYOUTS: dict[str, Callable[[dict[str, bytes], Path], None]] = {
    "mnist raw": _each("MNIST/raw/{file}"),
    "mnist gz": _each("MNIST/raw/{file}.gz", gzip.compress),
    "fashion raw": _each("FashionMNIST/raw/{file}"),
    "flat raw": _each("{file}"),
    "flat gz": _each("{file}.gz", gzip.compress),
    "cifar bin": _each("cifar-10-batches-bin/{file}"),
    "cifar py": _each("cifar-10-batches-py/{stem}", pickle_2),
    "cifar bin archive": _archive("cifar-10-binary.tar.gz"),
    "cifar py archive": _archive("cifar-10-python.tar.gz"),
    "cifar bin flat": _each("{file}"),
    "cifar py flat": _each("{stem}", pickle_2),
}


def entries(data_dir: Path) -> set[str]:
    """Names in the folder of stores."""
    return {path.name for path in (data_dir / ".cnnkit").iterdir()}
