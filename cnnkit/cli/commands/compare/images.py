"""The test images that runs disagree about, in one picture."""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np
import torch

from cnnkit.cli.inference import load_test_images
from cnnkit.cli.outputs import write_bytes
from cnnkit.errors import UserError
from cnnkit.reporting.grids import captioned_grid, encode_png
from cnnkit.runs import RunFolder
from cnnkit.runs.candidates import Candidate

COLUMNS = 8
SIDE = 96  # least pixels of an image's longer side


def draw_disagreements(candidates: Sequence[Candidate], places: np.ndarray, output: Path) -> str:
    """Write the picture: each image with its true class and the class that each candidate predicts, in their order.

    Args:
        candidates: what is compared; the first one's data module has the images. Nothing is downloaded.
        places: of the images in what was tested.
        output: a PNG file.

    Returns:
        Nothing, or why there is no picture: the data are not here, or not the same any more.

    Raises:
        UserError: the file cannot be written.
    """
    record, tested = candidates[0].runs[0], candidates[0].predictions[0]
    try:
        data = load_test_images(RunFolder(record.path), download=False)
    except UserError as error:
        return " ".join(str(error).split())
    if data.store.fingerprint != record.get("data.fingerprint"):
        return "the data set found here is not the one that the runs were tested on"
    images = data.store.test_images.index_select(0, torch.from_numpy(tested.index[places].astype(np.int64)))
    lines = [[f"{tested.index[place]}: {data.class_names[tested.labels[place]]}"] for place in places]
    for letter, candidate in zip(ascii_uppercase, candidates, strict=False):
        for caption, label in zip(lines, candidate.answers[places], strict=True):
            caption.append(f"{letter}: {data.class_names[label]}")
    picture = captioned_grid(images, ["\n".join(c) for c in lines], COLUMNS, max(1, SIDE // max(images.shape[-2:])))
    write_bytes(output, encode_png(picture))
    return ""
