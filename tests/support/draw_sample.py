"""Draw the sample of Fashion-MNIST again: ``python tests/support/draw_sample.py DATA_DIR [OUT_DIR]``.

An image is drawn if the SHA-256 of ``"<seed>/<train or test>/<its index>"`` is among the smallest of its class. So the
draw depends on no random generator, and whoever has the official labels can tell which images were drawn.
"""

import hashlib
import lzma
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cnnkit.data.originals.loading import load_originals
from cnnkit.data.store import SAMPLE_FOLDER

SEED = 0
PER_CLASS = {"train": 1_000, "test": 200}


def draw_indices(labels: NDArray[np.uint8], split: str) -> NDArray[np.int64]:
    """Indices into the official `split`, ascending, of the images in the sample.

    Args:
        labels: The official labels (N,).
        split: ``train`` or ``test``.
    """
    keys = np.array([hashlib.sha256(f"{SEED}/{split}/{i}".encode()).digest() for i in range(len(labels))])
    order = np.argsort(keys, kind="stable")
    return np.sort(np.concatenate([order[labels[order] == k][: PER_CLASS[split]] for k in np.unique(labels)]))


def encode_idx(array: NDArray[np.uint8]) -> bytes:
    """Write an array of bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def draw(data_dir: Path) -> dict[str, bytes]:
    """Draw the sample: the raw content of its four files by name.

    Raises:
        UserError: The official files are not below `data_dir`, or not the publisher's.
    """
    official = load_originals("fashion_mnist", data_dir, mirror=data_dir).arrays
    train, test = draw_indices(official["train_labels"], "train"), draw_indices(official["test_labels"], "test")
    return {
        "train-images-idx3-ubyte": encode_idx(official["train_images"][train, 0]),
        "train-labels-idx1-ubyte": encode_idx(official["train_labels"][train]),
        "t10k-images-idx3-ubyte": encode_idx(official["test_images"][test, 0]),
        "t10k-labels-idx1-ubyte": encode_idx(official["test_labels"][test]),
    }


def write(files: dict[str, bytes], out_dir: Path = SAMPLE_FOLDER) -> dict[str, str]:
    """Write the files compressed; return the SHA-256 of their raw content, for the table in ``sources.py``."""
    for name, raw in files.items():
        (out_dir / f"{name}.xz").write_bytes(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))
    return {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}


if __name__ == "__main__":
    for file, digest in write(draw(Path(sys.argv[1])), *map(Path, sys.argv[2:3])).items():
        print(f'"{file}": "{digest}",')
