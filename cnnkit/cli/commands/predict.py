"""``predict --images``: the classes of image files. Only the checkpoint is needed, not the data it was trained on."""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cnnkit import files, runs
from cnnkit.cli import help as texts
from cnnkit.cli.fit.report import print_image_predictions
from cnnkit.cli.image_files import list_images
from cnnkit.cli.rebuild import load_task
from cnnkit.data.images.decode import MAX_PIXELS, UnreadableImage, read_image
from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.errors import UserError
from cnnkit.reporting.terminal import shown
from cnnkit.suggest import suggest
from cnnkit.tasks import ClassificationTask
from cnnkit.transforms import Normalize

TOP = 5  # classes a row of the CSV
PAIR = ["class", "probability"]
SHOWN = 20  # images in the printed table
FLAGS = ("run", "ckpt_path", "config", "images", "output", "batch_size")
Read = tuple[Path, Tensor | UnreadableImage]
Prediction = list[tuple[str, float]] | UnreadableImage


@dataclass
class Options:
    """What was asked for."""

    checkpoint: Path
    files: list[Path]
    configs: list[str | Path] = field(default_factory=list)
    output: Path = Path("predictions.csv")
    batch_size: int = 64


@dataclass
class Preprocessing:
    """How the data module brought its images to the net; see `cnnkit.data.ImageDataModule.preprocessing`."""

    class_names: list[str]
    in_channels: int
    image_size: int | list[int]
    mean: list[float]
    std: list[float]
    resize: Any
    max_pixels: int = MAX_PIXELS  # older checkpoints do not keep it

    def read(self, file: Path) -> Read:
        """The file's pixels, uint8 (C, H, W), or why there are none."""
        size = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        try:
            return file, read_image(file, self.in_channels, (size[0], size[1]), self.resize, self.max_pixels)
        except UnreadableImage as error:
            return file, error


def asks_for_images(words: Sequence[str]) -> bool:
    """Whether files are to be predicted, and not the test images."""
    return any(word.partition("=")[0] == "--images" for word in words)


def predict_images(words: Sequence[str]) -> int:
    """Predict image files; return the exit code, 3 if some of them could not be read.

    Args:
        words: the command line after ``predict``.

    Raises:
        UserError: for a mistake in the words, a checkpoint that does not serve, or an output that cannot be written.
    """
    if {"--help", "-h"} & set(words):
        print(texts.COMMANDS["predict"], end="")
        return 0
    options = read_options(words)
    task, checkpoint = load_task(options.checkpoint, options.configs)
    data = preprocessing_of(checkpoint, options.checkpoint)
    task = on_accelerator(task)
    first: list[tuple[str, str, float]] = []
    unread: list[UnreadableImage] = []
    with files.writing_output(options.output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        pairs = [f"{what}_{k}" for k in range(1, min(TOP, len(data.class_names)) + 1) for what in PAIR]
        writer.writerow(["path", *PAIR, *pairs, "error"])
        for path, found in tracked(_predictions(task, data, options), len(options.files), "predicting"):
            if isinstance(found, UnreadableImage):
                unread.append(found)
                writer.writerow([path, *[""] * len(PAIR + pairs), str(found).removeprefix(f"{path}: ")])
                continue
            cells = [cell for name, probability in found for cell in (name, f"{probability:.6f}")]
            writer.writerow([path, *cells[:2], *cells, ""])
            if len(first) < SHOWN:
                first.append((shown(path), shown(found[0][0]), found[0][1]))
    print_image_predictions(first, len(options.files), len(unread), options.output)
    for reason in unread:
        print(shown(reason), file=sys.stderr)
    return 3 if unread else 0


def read_options(words: Sequence[str]) -> Options:
    """Sort the words, and find the images, before anything is loaded.

    Raises:
        UserError: for an unknown key, a missing value, a path that is not there, or where there is no image.
    """
    given: dict[str, list[str]] = {}
    taking: list[str] | None = None  # the values of the key before
    for word in words:
        flag, equals, value = word.partition("=")
        if flag in ("-c", "-o") or flag.startswith("--"):
            key = {"-c": "config", "-o": "output"}.get(flag, flag[2:])
            if key not in FLAGS:
                raise UserError(f"{key}: unknown key with --images{suggest(key, FLAGS)}")
            taking = given.setdefault(key, [])
            one = key != "images"
            taking += [value] if equals else []
            taking = None if equals and one else taking
        elif taking is None:
            raise UserError(f"{word}: this word belongs to no --key; images stand after --images")
        else:
            taking.append(word)
            taking = None if one else taking
    for key, values in given.items():
        if not values or not all(values):
            raise UserError(f"--{key}: needs a value after it")
    return _options(given)


def _options(given: dict[str, list[str]]) -> Options:
    last = {key: values[-1] for key, values in given.items()}
    if "run" not in last and "ckpt_path" not in last:
        raise UserError("no weights to work with: name a run (--run RUN) or a checkpoint (--ckpt_path FILE)")
    files = list_images(given["images"])
    run = runs.choose_finished(last["run"]) if "run" in last else None
    options = Options(runs.choose_checkpoint(run, last.get("ckpt_path")), files)
    options.configs = [*([run.config] if run else []), *given.get("config", [])]
    options.output = Path(last.get("output", options.output))
    if options.output.is_dir() or options.output.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"output is {options.output}: give a file to write, such as predictions.csv")
    batch_size = last.get("batch_size", str(options.batch_size))
    if not batch_size.isdecimal() or int(batch_size) < 1:
        raise UserError(f"batch_size: expected a whole number from 1 on, got {batch_size!r}")
    options.batch_size = int(batch_size)
    return options


def preprocessing_of(checkpoint: dict[str, Any], path: Path) -> Preprocessing:
    """What a checkpoint keeps of its data.

    Raises:
        UserError: if it keeps nothing.
    """
    try:
        kept = checkpoint["data"]
        old = {"max_pixels": MAX_PIXELS}
        return Preprocessing(**{each.name: {**old, **kept}[each.name] for each in fields(Preprocessing)})
    except (KeyError, TypeError):
        raise UserError(
            f"{path}: does not say how its images were prepared: it is older, or the data module has none of it;\n"
            "train again, with a data module that has preprocessing(), as cnnkit.ImageDataModule has"
        ) from None


def on_accelerator(task: ClassificationTask) -> ClassificationTask:
    """The task on the machine's accelerator, if it has one."""
    return task.to(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))


def _predictions(task: ClassificationTask, data: Preprocessing, options: Options) -> Iterator[tuple[Path, Prediction]]:
    """Every file with its most probable classes, or with the reason why there are none."""
    normalize = Normalize(data.mean, data.std)
    for batch in decoded(options.files, data.read, options.batch_size):
        pixels = [image for _, image in batch if isinstance(image, Tensor)]
        images = normalize(torch.stack(pixels).to(task.device)) if pixels else None
        tops = iter([] if images is None else _top_classes(task, images, data.class_names))
        for path, image in batch:
            yield path, next(tops) if isinstance(image, Tensor) else image


@torch.inference_mode()
def _top_classes(task: ClassificationTask, images: Tensor, names: Sequence[str]) -> list[list[tuple[str, float]]]:
    probabilities = task.predict_step(images, 0)  # (B, K)
    if probabilities.shape[1] != len(names):
        raise UserError(f"the net tells {probabilities.shape[1]} classes apart, but its checkpoint names {len(names)}")
    values, labels = probabilities.topk(min(TOP, len(names)))
    rows = zip(labels.tolist(), values.tolist(), strict=True)
    return [[(names[k], p) for k, p in zip(*row, strict=True)] for row in rows]


def decoded(files: Sequence[Path], read: Callable[[Path], Read], batch_size: int) -> Iterator[list[Read]]:
    """Batches of read files, in order; the next is decoded while one is predicted, so that two are in memory."""
    chunks = [files[start : start + batch_size] for start in range(0, len(files), batch_size)]
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # decoders need memory, too
    try:
        ahead = pool.map(read, chunks[0])
        for chunk in [*chunks[1:], []]:
            now, ahead = ahead, pool.map(read, chunk)  # which begins at once
            yield list(now)
    finally:
        pool.shutdown(cancel_futures=True)


def tracked(items: Iterator[Any], total: int, what: str) -> Iterator[Any]:
    """With a line of progress, where there is a terminal."""
    console, quiet = Console(stderr=True), not sys.stderr.isatty()
    yield from track(items, what, total, console=console, transient=True, disable=quiet)
