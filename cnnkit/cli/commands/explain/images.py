"""Explanations of images as files: read or taken from a run's test images, predicted, drawn, written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.cli.inference import Preprocessing, load_test_images, predict_probabilities, top_classes
from cnnkit.cli.outputs import write_bytes
from cnnkit.data.images.decode import UnreadableImage
from cnnkit.errors import UserError
from cnnkit.inspection.explanation import Explanation, attribution_maps, explanation_figure, feature_picture
from cnnkit.inspection.feature_maps import feature_maps
from cnnkit.reporting.figures import png_bytes, short
from cnnkit.reporting.grids import encode_png
from cnnkit.tasks import ClassificationTask
from cnnkit.transforms import Normalize

AT_ONCE = 8  # images explained together
TOP = 3  # classes named above a picture


class Source(NamedTuple):
    """An image to explain: of a file, or of the run's test images, whose class is known."""

    name: str
    stem: str  # of the files that are written
    pixels: Tensor  # uint8 (C, H, W)
    label: str | None = None


@dataclass
class Explained:
    """What is said of an image."""

    path: str
    label: str | None  # the true class, where it is known
    top: list[tuple[str, float]]  # the most probable classes
    explained: tuple[str, float]
    picture: Path
    maps: Path | None


@dataclass
class Request:
    """What is to be drawn, and where to.

    Args:
        output: a folder, or a .png for all images.
        label: the class to explain; none given: the predicted one.
        module: where Grad-CAM looks; none given: the block around the last convolution.
        maps: whether to draw the feature maps, too.
        taken: files that must not be written to.
    """

    output: Path
    label: str | None = None
    module: str | None = None
    maps: bool = False
    taken: set[Path] = field(default_factory=set)

    @property
    def on_one_sheet(self) -> bool:
        """Whether all images come into one picture."""
        return self.output.suffix.lower() == ".png"

    def names(self, stem: str) -> tuple[Path, Path]:
        """New names for a picture and for one of feature maps."""
        if self.on_one_sheet:
            return self.output, self.output.with_name(f"{self.output.stem}_maps.png")
        number = 1
        while True:
            start = stem if number == 1 else f"{stem}-{number}"
            both = self.output / f"{start}_explained.png", self.output / f"{start}_maps.png"
            if not self.taken & {path.resolve() for path in both}:
                self.taken |= {path.resolve() for path in both}
                return both
            number += 1


def from_files(files: Sequence[Path], data: Preprocessing, unread: list[str]) -> Iterator[list[Source]]:
    """The images of files, a few at a time; what cannot be read, and why, is added to ``unread``."""
    for batch in data.decode(files, AT_ONCE):
        unread += [str(pixels) for _, pixels in batch if isinstance(pixels, UnreadableImage)]
        yield [Source(str(file), file.stem, pixels) for file, pixels in batch if isinstance(pixels, Tensor)]


def from_test_set(run: runs.RunFolder, numbers: Sequence[int]) -> Iterator[list[Source]]:
    """The test images of a run's own data by their numbers, a few at a time.

    Raises:
        UserError: there is no such number, or the data module has no arrays of images.
    """
    if not numbers:
        return
    store = load_test_images(run).store
    count = len(store.test_labels)
    if max(numbers) >= count:
        raise UserError(f"test image {max(numbers)}: there are {count:,}, numbered from 0 to {count - 1}")
    for start in range(0, len(numbers), AT_ONCE):
        index = torch.tensor(numbers[start : start + AT_ONCE])
        images, labels = store.test_images.index_select(0, index), store.test_labels[index].tolist()
        yield [
            Source(f"test image {number}", f"test_{number:05d}", pixels, store.class_names[label])
            for number, pixels, label in zip(index.tolist(), images, labels, strict=True)
        ]


def explain_images(
    task: ClassificationTask, data: Preprocessing, batches: Iterable[list[Source]], request: Request
) -> Iterator[Explained]:
    """Explain images and write their pictures; those of one batch are in memory at a time, or all of a sheet.

    Raises:
        UserError: the net does not fit the names of its classes, Grad-CAM has nowhere to look, or a file cannot be
            written.
    """
    normalize = Normalize(data.mean, data.std)
    target = None if request.label is None else data.class_names.index(request.label)
    sheet: list[Explanation] = []
    for sources in filter(None, batches):
        images = normalize(torch.stack([source.pixels for source in sources]).to(task.device))
        probabilities = predict_probabilities(task, images, data.class_names)
        found = attribution_maps(task.net, images, data.mean, data.std, target, request.module)
        stages = feature_maps(task.net, images) if request.maps else {}
        for index, source in enumerate(sources):
            picture, maps = request.names(source.stem)
            result = _explained(source, probabilities[index], data.class_names, target, picture)
            row = Explanation(source.pixels, _title(result), {name: each[index] for name, each in found.items()})
            if request.on_one_sheet:
                sheet.append(row)
            else:
                write_bytes(picture, png_bytes(explanation_figure([row])))
            if request.maps:
                result.maps = maps
                write_bytes(maps, encode_png(feature_picture(stages, index)))
            yield result
    if sheet:
        write_bytes(request.output, png_bytes(explanation_figure(sheet)))


def _explained(
    source: Source, probabilities: Tensor, names: Sequence[str], target: int | None, picture: Path
) -> Explained:
    (top,) = top_classes(probabilities[None], names, TOP)
    explained = top[0] if target is None else (names[target], float(probabilities[target]))
    return Explained(source.name, source.label, top, explained, picture, None)


def _title(result: Explained) -> str:
    name = result.path if len(result.path) <= 50 else f"…{result.path[-49:]}"
    known = f" (true: {short(result.label)})" if result.label is not None else ""
    top = [result.top[0], *((name, share) for name, share in result.top[1:] if share >= 0.0005)]  # 0.0% says nothing
    classes = ", ".join(f"{short(name)} {share:.1%}" for name, share in top)
    other = f"; explained: {short(result.explained[0])}" if result.explained != result.top[0] else ""
    return f"{short(name, 50)}{known}\n{classes}{other}"
