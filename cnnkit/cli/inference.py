"""What commands need to run a trained net: images brought to it as in training, on the accelerator, with progress."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track as track_progress
from torch import Tensor

from cnnkit.data.images.decode import MAX_PIXELS, UnreadableImage, read_image
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.tasks import ClassificationTask

DecodedFile = tuple[Path, Tensor | UnreadableImage]


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

    def read(self, file: Path) -> DecodedFile:
        """The file's pixels, uint8 (C, H, W), or why there are none."""
        size = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        try:
            return file, read_image(file, self.in_channels, (size[0], size[1]), self.resize, self.max_pixels)
        except UnreadableImage as error:
            return file, error

    def decode(self, files: Sequence[Path], batch_size: int) -> Iterator[list[DecodedFile]]:
        """Batches of read files, in order; the next is decoded while one is predicted, so that two are in memory."""
        chunks = [files[start : start + batch_size] for start in range(0, len(files), batch_size)]
        if not chunks:
            return
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # decoders need memory, too
        try:
            ahead = pool.map(self.read, chunks[0])
            for chunk in [*chunks[1:], []]:
                now, ahead = ahead, pool.map(self.read, chunk)  # which begins at once
                yield list(now)
        finally:
            pool.shutdown(cancel_futures=True)


def read_preprocessing(checkpoint: dict[str, Any], path: Path) -> Preprocessing:
    """What a checkpoint keeps of its data.

    Raises:
        UserError: if it keeps nothing.
    """
    try:
        kept = {"max_pixels": MAX_PIXELS, **checkpoint["data"]}
        return Preprocessing(**{each.name: kept[each.name] for each in fields(Preprocessing)})
    except (KeyError, TypeError):
        raise UserError(
            f"{path}: does not say how its images were prepared: it is older, or the data module has none of it;\n"
            "train again, with a data module that has preprocessing(), as cnnkit.ImageDataModule has"
        ) from None


@torch.inference_mode()
def predict_probabilities(task: ClassificationTask, images: Tensor, names: Sequence[str]) -> Tensor:
    """The probabilities (B, K) of normalized images, float32 on the CPU.

    Raises:
        UserError: the net has another number of classes than its checkpoint names.
    """
    probabilities = task.predict_step(images, 0).float().cpu()
    if probabilities.shape[1] != len(names):
        raise UserError(f"the net has {probabilities.shape[1]} classes, but its checkpoint names {len(names)}")
    return probabilities


def top_classes(probabilities: Tensor, names: Sequence[str], count: int) -> list[list[tuple[str, float]]]:
    """For each row (B, K), the most probable classes with their probabilities."""
    values, labels = probabilities.topk(min(count, len(names)))
    rows = zip(labels.tolist(), values.tolist(), strict=True)
    return [[(names[k], p) for k, p in zip(*row, strict=True)] for row in rows]


def move_to_accelerator(task: ClassificationTask) -> ClassificationTask:
    """The task on the machine's accelerator, if it has one."""
    return task.to(torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu"))


def load_test_images(run: RunFolder, *, download: bool = True) -> Any:
    """The data module of a run, set up to test.

    Args:
        run: the run.
        download: whether missing files may be downloaded.

    Raises:
        UserError: the data cannot be opened, or the data module has no store of test images.
    """
    from cnnkit.cli.parsing.build import build_data  # it imports `predict`, which imports this module

    data: Any = build_data(run)
    if not download:  # where there is a mirror, nothing is downloaded
        data.mirror = getattr(data, "mirror", None) or str(getattr(data, "data_dir", ""))
    data.setup("test")
    if getattr(data, "store", None) is None:
        raise UserError(f"{run}: {type(data).__name__} has no store to take test images from")
    return data


def track(items: Iterator[Any], total: int, what: str) -> Iterator[Any]:
    """With a line of progress, where there is a terminal."""
    console, quiet = Console(stderr=True), not sys.stderr.isatty()
    yield from track_progress(items, what, total, console=console, transient=True, disable=quiet)
