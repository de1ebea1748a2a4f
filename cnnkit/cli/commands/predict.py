"""``predict --images``: the classes of image files. Only the checkpoint is needed, not the data it was trained on."""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.cards import find_config
from cnnkit.cli.fit.output import choose_classes, print_image_predictions
from cnnkit.cli.image_files import list_images
from cnnkit.cli.inference import (
    Preprocessing,
    move_to_accelerator,
    predict_probabilities,
    read_preprocessing,
    top_classes,
    track,
)
from cnnkit.cli.outputs import check_output
from cnnkit.cli.parsing.options import Options, positive
from cnnkit.cli.task_loading import load_task
from cnnkit.data.images.decode import UnreadableImage
from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.notices import printable
from cnnkit.tasks import ClassificationTask
from cnnkit.tasks.tta import TTA
from cnnkit.transforms import Normalize

TOP = 5  # classes a row of the CSV
PAIR = ["class", "probability"]
SHOWN = 20  # images in the printed table
Prediction = list[tuple[str, float]] | UnreadableImage


def arguments() -> Options:
    """The words of the command."""
    options = Options("predict", "Predict the class of image files; see `cnnkit predict --help` for the test images.")
    options.add_argument("--run", type=_named, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--ckpt_path", type=_named, metavar="FILE", help="another checkpoint: best, last, a file")
    options.add_argument("-c", "--config", type=_named, action="append", default=[], metavar="FILE")
    options.add_argument("--images", type=_named, nargs="+", action="extend", required=True, metavar="PATH")
    options.add_argument("-o", "--output", type=_named, default="predictions.csv", metavar="FILE", help="the table")
    options.add_argument("--batch_size", type=positive, default=64, metavar="N", help="images at a time (default 64)")
    options.add_argument("--tta", choices=get_args(TTA), help="views of each image to average (default: the run's)")
    return options


def _named(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("needs a value after it")
    return text


def predict_images(words: Sequence[str]) -> int:
    """Predict image files; return the exit code, 3 if some of them could not be read.

    Args:
        words: the command line after ``predict``.

    Raises:
        UserError: for a mistake in the words, a checkpoint that does not serve, or an output that cannot be written.
    """
    args = arguments().read(words)
    if not args.run and not args.ckpt_path:
        raise UserError("no weights to work with: name a run (--run RUN) or a checkpoint (--ckpt_path FILE)")
    files, output = list_images(args.images), Path(args.output)
    if output.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"output is {output}: give a file to write, such as predictions.csv")
    check_output(output)
    run = runs.choose_finished(args.run) if args.run else None
    path = runs.choose_checkpoint(run, args.ckpt_path)
    task, checkpoint = load_task(path, [*([run.config] if run else []), *map(find_config, args.config)])
    task.tta = args.tta or task.tta
    data = read_preprocessing(checkpoint, path)
    if task.multilabel:
        return _write_labels(move_to_accelerator(task), data, files, args.batch_size, output)
    predictions = _predict(move_to_accelerator(task), data, files, args.batch_size)
    first: list[tuple[str, str, float | None]] = []
    unread: list[UnreadableImage] = []
    with writing_output(output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        pairs = [f"{what}_{k}" for k in range(1, min(TOP, len(data.class_names)) + 1) for what in PAIR]
        writer.writerow(["path", *PAIR, *pairs, "error"])
        for path, found in track(predictions, len(files), "predicting"):
            if isinstance(found, UnreadableImage):
                unread.append(found)
                writer.writerow([path, *[""] * len(PAIR + pairs), str(found).removeprefix(f"{path}: ")])
                continue
            cells = [cell for name, probability in found for cell in (name, f"{probability:.6f}")]
            writer.writerow([path, *cells[:2], *cells, ""])
            if len(first) < SHOWN:
                first.append((printable(path), printable(found[0][0]), found[0][1]))
    print_image_predictions(first, len(files), len(unread), output)
    for reason in unread:
        print(printable(reason), file=sys.stderr)
    return 3 if unread else 0


def _write_labels(
    task: ClassificationTask, data: Preprocessing, files: Sequence[Path], batch_size: int, output: Path
) -> int:
    """Write the classes that reach their threshold, and the probability of each class; return the exit code."""
    first: list[tuple[str, str, float | None]] = []
    unread: list[UnreadableImage] = []
    with writing_output(output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "classes", *(f"probability_{name}" for name in data.class_names), "error"])
        predictions = _predict_rows(task, data, files, batch_size)
        for path, found in track(predictions, len(files), "predicting"):
            if isinstance(found, UnreadableImage):
                unread.append(found)
                writer.writerow([path, "", *[""] * len(data.class_names), str(found).removeprefix(f"{path}: ")])
                continue
            [classes] = choose_classes(found[None], data.class_names, task.thresholds.cpu())
            writer.writerow([path, classes, *(f"{p:.6f}" for p in found.tolist()), ""])
            if len(first) < SHOWN:
                first.append((printable(path), printable(classes) or "-", None))
    print_image_predictions(first, len(files), len(unread), output)
    for reason in unread:
        print(printable(reason), file=sys.stderr)
    return 3 if unread else 0


def _predict(
    task: ClassificationTask, data: Preprocessing, files: Sequence[Path], batch_size: int
) -> Iterator[tuple[Path, Prediction]]:
    """Every file with its most probable classes, or with the reason why there are none."""
    for path, found in _predict_rows(task, data, files, batch_size):
        yield path, found if isinstance(found, UnreadableImage) else top_classes(found[None], data.class_names, TOP)[0]


def _predict_rows(
    task: ClassificationTask, data: Preprocessing, files: Sequence[Path], batch_size: int
) -> Iterator[tuple[Path, Tensor | UnreadableImage]]:
    """Every file with its probabilities (K,), or with the reason why there are none."""
    normalize = Normalize(data.mean, data.std)
    for batch in data.decode(files, batch_size):
        pixels = [image for _, image in batch if isinstance(image, Tensor)]
        rows: Iterator[Tensor] = iter(())
        if pixels:
            images = normalize(torch.stack(pixels).to(task.device))
            rows = iter(predict_probabilities(task, images, data.class_names))
        for path, image in batch:
            yield path, next(rows) if isinstance(image, Tensor) else image
