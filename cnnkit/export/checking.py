"""Runs an exported file as its user will: ONNX in onnxruntime, the others in a process of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image

from cnnkit.data.images.decode import convert_image, read_image
from cnnkit.errors import UserError
from cnnkit.export import alone
from cnnkit.export.onnx_file import open_onnx
from cnnkit.export.subject import CheckImages, Subject, spread
from cnnkit.inference.trained_net import predict_probabilities

BATCH = 64
PIXELS = "pixels.npy"  # the images that are checked, in the temporary folder
ORIGINALS = 64  # files that are checked at their original size
_MADE = ((1, 13, -5), (2, 1, 20), (7, 25, 3))  # images, rows and columns added to the net's size: any batch, any size
_RUNTIMES = {"onnx": "onnxruntime", "torch": "torch.export.load, without cnnkit", "safetensors": "cnnkit.load"}
# The weights are loaded in a fresh process, where nothing of this one's memory and no run folder can help.
_FRESH = """\
import sys
import numpy as np, torch
import cnnkit
file, batch, output, config, *inputs = sys.argv[1:]
net = cnnkit.load(file, batch_size=int(batch), device="cpu", config=config.split("\\n") if config else ())
np.save(output, np.concatenate([net.predict(torch.from_numpy(np.load(each))).probabilities for each in inputs]))
"""


def name_runtime(kind: str) -> str:
    """What runs a file of a kind in its check."""
    return _RUNTIMES[kind]


def run_file(kind: str, file: Path, inputs: Sequence[Path], subject: Subject) -> np.ndarray:
    """Run a file on images, as its user will.

    Args:
        kind: ``onnx``, ``torch`` or ``safetensors``.
        file: the file.
        inputs: .npy files of images, uint8 (N, C, H, W).
        subject: for the classes that may be imported.

    Returns:
        Probabilities (all N, K), float32.

    Raises:
        UserError: it cannot be run.
    """
    if kind == "onnx":
        net = open_onnx(file)
        return np.concatenate([net.predict_step(part).numpy() for part in _read_parts(inputs)])
    output = file.with_name("found.npy")
    named = [str(BATCH), str(output)]
    if kind == "torch":
        words = ["-I", str(alone.__file__), str(file), *named]
    else:
        words = ["-c", _FRESH, str(file), *named, "\n".join(str(config.resolve()) for config in subject.configs)]
    places = os.pathsep.join(str(Path(place).absolute()) for place in sys.path)  # a net of one's own may lie anywhere
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": places}
    ended = subprocess.run(
        [sys.executable, *words, *map(str, inputs)],
        cwd=file.parent,
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise UserError(f"{file.name}: cannot be run ({last[:200]})")
    found: np.ndarray = np.load(output)
    return found


def _read_parts(inputs: Sequence[Path]) -> Iterator[torch.Tensor]:
    for name in inputs:
        images = np.load(name, mmap_mode="r")
        for start in range(0, len(images), BATCH):
            yield torch.from_numpy(images[start : start + BATCH].copy())


def write_pixels(images: CheckImages, data_shape: tuple[int, int, int], folder: Path) -> Path:
    """Write the images that a check takes to a .npy file, part by part, so that they need not fit into memory."""
    path, start = folder / PIXELS, 0
    rows = open_memmap(path, "w+", np.uint8, (len(images.numbers), *data_shape))
    for part in images.batches(BATCH):
        rows[start : start + len(part)] = part.numpy()
        start += len(part)
    rows.flush()
    return path


def predict_pixels(subject: Subject, inputs: Sequence[Path]) -> np.ndarray:
    """Predict images of the net's size as ``cnnkit predict`` does, without the code that is exported."""
    net, names = subject.classifier, subject.data.class_names
    rows = [predict_probabilities(net, subject.data.normalize(part), names) for part in _read_parts(inputs)]
    return torch.cat(rows).numpy()


class OtherSizes(NamedTuple):
    """Images of other sizes than the net's.

    Attributes:
        given: .npy files of images for the exported net.
        resized: .npy files of what Pillow makes of the same pixels.
        what: what the images are.
        places: of image files, their places among those that are checked, int64 (M,); else empty.
    """

    given: list[Path]
    resized: list[Path]
    what: str
    places: np.ndarray


def write_other_sizes(images: CheckImages, subject: Subject, pixels: Path, folder: Path) -> OtherSizes:
    """Write images of other sizes than the net's, and what Pillow makes of them.

    Image files are decoded whole. Images of arrays are repeated like tiles and cut, in batches of 1, 2 and 7.
    """
    data, count = subject.data, len(images.numbers)
    places = spread(count, min(ORIGINALS, count)) if len(images.files) else torch.empty(0, dtype=torch.int64)
    shown: Iterator[torch.Tensor]
    if len(places):
        chosen = [images.files[number] for number in images.numbers[places].tolist()]
        shown = (read_image(file, data.in_channels, None, data.resize, data.max_pixels)[None] for file in chosen)
        what = "original files"
    else:
        shown, what = _tile(np.load(pixels, mmap_mode="r"), data.size), "images made larger and smaller"
    given, resized = [], []
    for k, batch in enumerate(shown):
        whole = [Image.fromarray(np.asarray(one[0] if len(one) == 1 else one.permute(1, 2, 0))) for one in batch]
        small = torch.stack([convert_image(one, data.in_channels, data.size, data.resize) for one in whole])
        given.append(_save(folder / f"given-{k}.npy", batch))
        resized.append(_save(folder / f"resized-{k}.npy", small))
    return OtherSizes(given, resized, what, places.numpy())


def _tile(pixels: np.ndarray, size: tuple[int, int]) -> Iterator[torch.Tensor]:
    """Batches of images of other sizes, made of those of the net's size."""
    for count, rows, columns in _MADE:
        tiled = torch.from_numpy(pixels[:count].copy()).repeat(1, 1, 3, 3)
        yield tiled[:, :, : max(1, size[0] + rows), : max(1, size[1] + columns)].contiguous()


def _save(path: Path, images: torch.Tensor) -> Path:
    np.save(path, images.numpy())
    return path
