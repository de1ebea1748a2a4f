"""Images brought to a trained net as in training."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from cnnkit.data.images.decode import MAX_PIXELS, UnreadableImage, read_image
from cnnkit.errors import UserError
from cnnkit.threads import count_usable_cores
from cnnkit.transforms.normalize import Normalize

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

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the net's images, in pixels."""
        height, width = (self.image_size,) * 2 if isinstance(self.image_size, int) else self.image_size
        return height, width

    @cached_property
    def normalize(self) -> Callable[[Tensor], Tensor]:
        """What maps images uint8 (B, C, H, W) to the net's input."""
        return Normalize(self.mean, self.std)

    def read(self, file: Path) -> DecodedFile:
        """The file's pixels, uint8 (C, H, W), or why there are none."""
        try:
            return file, read_image(file, self.in_channels, self.size, self.resize, self.max_pixels)
        except UnreadableImage as error:
            return file, error

    def decode(self, files: Sequence[Path], batch_size: int) -> Iterator[list[DecodedFile]]:
        """Batches of read files, in order; the next is decoded while one is predicted, so that two are in memory."""
        chunks = [files[start : start + batch_size] for start in range(0, len(files), batch_size)]
        if not chunks:
            return
        pool = ThreadPoolExecutor(min(8, count_usable_cores()))  # decoders need memory, too
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
