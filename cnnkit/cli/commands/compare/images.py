"""The test images that runs differ about, in one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cnnkit.cli.inference import load_test_images
from cnnkit.cli.outputs import write_bytes
from cnnkit.errors import UserError
from cnnkit.reporting.grids import captioned_grid, encode_png
from cnnkit.runs import RunFolder
from cnnkit.runs.candidates import Candidate
from cnnkit.runs.predictions import Predictions

COLUMNS = 8
SIDE = 96  # least pixels of an image's longer side


def draw_differing(sides: Sequence[Candidate], places: np.ndarray, output: Path) -> str:
    """Write the picture: each image with its true class and, in the order of the sides, what each takes it for.

    Args:
        sides: those that are compared; the first one's data module has the images.
        places: of the images in what was tested.
        output: a PNG file.

    Returns:
        Nothing, or why there is no picture: the data are not here, or not the same any more.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        data = _data(sides[0])
    except UserError as error:
        return " ".join(str(error).split())
    first = sides[0].predictions[0]
    images = data.store.test_images.index_select(0, torch.from_numpy(first.index[places].astype(np.int64)))
    answers = [side.answers for side in sides]
    captions = [_caption(place, first, data.class_names, answers) for place in places]
    picture = captioned_grid(images, captions, COLUMNS, max(1, SIDE // max(images.shape[-2:])))
    write_bytes(output, encode_png(picture))
    return ""


def _data(side: Candidate) -> Any:
    """The data module of a run, set up, if it has the very images that the run was tested on; nothing is downloaded."""
    record = side.runs[0]
    data = load_test_images(RunFolder(record.path), download=False)
    if data.store.fingerprint != record.get("data.fingerprint"):
        raise UserError("the data set found here is not the one that the runs were tested on")
    return data


def _caption(place: int, tested: Predictions, names: Sequence[str], answers: Sequence[np.ndarray]) -> str:
    lines = [f"{tested.index[place]}: {names[tested.labels[place]]}"]
    for letter, of in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", answers, strict=False):
        lines.append(f"{letter}: {names[of[place]]}")
    return "\n".join(lines)
