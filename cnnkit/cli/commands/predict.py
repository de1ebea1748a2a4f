"""``predict --images``: the classes of image files. Only the checkpoint is needed, not the data it was trained on."""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.cli.cores import use_free_cores
from cnnkit.cli.errors.exit_codes import Description, describe_briefly
from cnnkit.cli.image_files import list_images
from cnnkit.cli.inference import find_configs, move_to_accelerator, track
from cnnkit.cli.outputs import check_output, choose_classes, describe_correction, describe_views, describe_ways
from cnnkit.cli.parsing.options import Options, positive
from cnnkit.cli.quiet import quieten
from cnnkit.data.images.decode import UnreadableImage
from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.errors import UserError
from cnnkit.export.loading import open_exported
from cnnkit.files import writing_output
from cnnkit.inference.preprocessing import Preprocessing, read_preprocessing
from cnnkit.inference.trained_net import load_classifier, predict_probabilities, top_classes, use_tau
from cnnkit.notices import printable
from cnnkit.reporting.terminal import print_rows
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier

TOP = 5  # classes a row of the CSV
PAIR = ["class", "probability"]
SHOWN = 20  # images in the printed table
Prediction = list[tuple[str, float]] | UnreadableImage


def arguments() -> Options:
    """The words of the command."""
    options = Options("predict", "Predict the class of image files; see `cnnkit predict --help` for the test images.")
    options.add_argument("--run", type=_named, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("--ckpt_path", type=_named, metavar="FILE", help="another checkpoint: best, last, a file")
    options.add_argument("--model", type=_named, metavar="FILE", help="instead of both, a file of `cnnkit export`")
    options.add_argument("-c", "--config", type=_named, action="append", default=[], metavar="FILE")
    options.add_argument("--images", type=_named, nargs="+", action="extend", required=True, metavar="PATH")
    options.add_argument("-o", "--output", type=_named, default="predictions.csv", metavar="FILE", help="the table")
    options.add_argument("--batch_size", type=positive, default=64, metavar="N", help="images at a time (default 64)")
    options.add_argument("--tta", choices=get_args(TTA), help="views of each image to average (default: the run's)")
    help = "subtract X log(share of the class) from its logit (default: the run's)"
    options.add_argument("--posthoc_tau", type=float, metavar="X", help=help)
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
    quieten()
    args = arguments().read(words)
    if not args.run and not args.ckpt_path and not args.model:
        raise UserError("no weights to work with: name a run (--run RUN), a checkpoint (--ckpt_path FILE) or a --model")
    files, output = list_images(args.images), Path(args.output)
    if output.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"output is {output}: give a file to write, such as predictions.csv")
    check_output(output)
    classifier, data = _load(args)
    if classifier.multilabel:
        return _write_labels(move_to_accelerator(classifier), data, files, args.batch_size, output)
    predictions = _predict(move_to_accelerator(classifier), data, files, args.batch_size)
    first: list[tuple[str, str, float | None]] = []
    unread: list[UnreadableImage] = []
    with writing_output(output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        pairs = [f"{what}_{k}" for k in range(1, min(TOP, len(data.class_names)) + 1) for what in PAIR]
        names, views = _split(describe_ways(classifier.correction, classifier.tta))
        writer.writerow(["path", *PAIR, *pairs, "error", *names])
        for path, found in track(predictions, len(files), "predicting"):
            if isinstance(found, UnreadableImage):
                unread.append(found)
                reason = str(found).removeprefix(f"{path}: ")
                writer.writerow([path, *[""] * len(PAIR + pairs), reason, *views])
                continue
            cells = [cell for name, probability in found for cell in (name, f"{probability:.6f}")]
            writer.writerow([path, *cells[:2], *cells, "", *views])
            if len(first) < SHOWN:
                first.append((printable(path), printable(found[0][0]), found[0][1]))
    _print_predictions(first, len(files), len(unread), output, classifier)
    for error in unread:
        print(printable(error), file=sys.stderr)
    return 3 if unread else 0


def _load(args: argparse.Namespace) -> "tuple[Classifier, Preprocessing]":
    """The trained net of a run, a checkpoint or an exported file, and the preparation of its images."""
    configs = find_configs(args.config)
    if args.model:
        given = ("run", "ckpt_path", "tta", "posthoc_tau")
        for name in (name for name in given if getattr(args, name) is not None):
            raise UserError(f"--{name} has no effect with --model, whose file has its own: leave it out")
        use_free_cores()  # first: onnxruntime keeps the number of threads that it finds
        opened = open_exported(Path(args.model), configs)
        return opened.classifier, opened.data
    run = runs.choose_finished(args.run) if args.run else None
    path = runs.choose_checkpoint(run, args.ckpt_path)
    classifier, checkpoint = load_classifier(path, [*([run.config] if run else []), *configs], tta=args.tta)
    if args.posthoc_tau is not None:
        use_tau(classifier, args.posthoc_tau, checkpoint)
    return classifier, read_preprocessing(checkpoint, path)


def _write_labels(
    classifier: "Classifier", data: Preprocessing, files: Sequence[Path], batch_size: int, output: Path
) -> int:
    """Write the classes that reach their threshold, and the probability of each class; return the exit code."""
    first: list[tuple[str, str, float | None]] = []
    unread: list[UnreadableImage] = []
    thresholds = classifier.thresholds.cpu()
    names, views = _split(describe_ways(classifier.correction, classifier.tta))
    with writing_output(output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = [f"probability_{name}" for name in data.class_names]
        writer.writerow(["path", "classes", *columns, "error", *names])
        predictions = _predict_rows(classifier, data, files, batch_size)
        for path, found in track(predictions, len(files), "predicting"):
            if isinstance(found, UnreadableImage):
                unread.append(found)
                writer.writerow([path, "", *[""] * len(columns), str(found).removeprefix(f"{path}: "), *views])
                continue
            [classes] = choose_classes(found[None], data.class_names, thresholds)
            writer.writerow([path, classes, *(f"{p:.6f}" for p in found.tolist()), "", *views])
            if len(first) < SHOWN:
                first.append((printable(path), printable(classes) or "-", None))
    _print_predictions(first, len(files), len(unread), output, classifier)
    for reason in unread:
        print(printable(reason), file=sys.stderr)
    return 3 if unread else 0


def _predict(
    classifier: "Classifier", data: Preprocessing, files: Sequence[Path], batch_size: int
) -> Iterator[tuple[Path, Prediction]]:
    """Every file with its most probable classes, or with the reason why there are none."""
    for path, found in _predict_rows(classifier, data, files, batch_size):
        yield path, found if isinstance(found, UnreadableImage) else top_classes(found[None], data.class_names, TOP)[0]


def _predict_rows(
    classifier: "Classifier", data: Preprocessing, files: Sequence[Path], batch_size: int
) -> Iterator[tuple[Path, Tensor | UnreadableImage]]:
    """Every file with its probabilities (K,), or with the reason why there are none."""
    for batch in data.decode(files, batch_size):
        pixels = [image for _, image in batch if isinstance(image, Tensor)]
        rows: Iterator[Tensor] = iter(())
        if pixels:
            images = data.normalize(torch.stack(pixels).to(classifier.device))
            rows = iter(predict_probabilities(classifier, images, data.class_names))
        for path, image in batch:
            yield path, next(rows) if isinstance(image, Tensor) else image


def _split(columns: dict[str, str]) -> tuple[list[str], list[str]]:
    return list(columns), list(columns.values())


def _print_predictions(
    first: Sequence[tuple[str, str, float | None]], images: int, unread: int, path: Path, classifier: "Classifier"
) -> None:
    """Print the first predictions (path, class, probability), how many more there are, and where all of them stand."""
    wide, names = (max((len(str(row[column])) for row in first), default=0) + 2 for column in (0, 1))
    for file, name, probability in first:
        print(f"{file:{wide}}{name:{names}}" + ("" if probability is None else f"{probability:7.2%}"))
    if images - unread > len(first):
        print(f"… and {images - unread - len(first):,} more")
    tta = classifier.tta
    ways = {**describe_views(tta), **describe_correction(classifier.correction, tta)}
    rows = {"images": f"{images:,}", **ways, "predictions": str(path)}
    print_rows({**rows, "unreadable": f"{unread:,}, listed there as well"} if unread else rows)


def describe_error(error: Exception) -> Description:
    """Describe an error as the commands on a trainer do, whose description imports Lightning."""
    if isinstance(error, UserError):
        return describe_briefly(error)
    from cnnkit.cli.errors import messages

    return messages.describe_error(error)
