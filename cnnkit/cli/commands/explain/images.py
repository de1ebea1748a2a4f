"""Explanations of images as files: read or taken from a run's test images, predicted, drawn, written."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.cli.inference import load_test_images
from cnnkit.cli.outputs import write_bytes
from cnnkit.data.images.decode import UnreadableImage
from cnnkit.errors import UserError
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.trained_net import predict_probabilities, top_classes
from cnnkit.inspection.explanation import (
    Explanation,
    attribution_maps,
    explanation_figure,
    feature_picture,
    score_maps,
)
from cnnkit.inspection.faithfulness import Faithfulness, choose_most_faithful
from cnnkit.inspection.feature_maps import feature_maps
from cnnkit.inspection.grad_cam import CamName
from cnnkit.reporting.figures import png_bytes, short
from cnnkit.reporting.grids import encode_png

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier

BATCH_SIZE = 8
TOP = 3  # classes named above a picture


class Source(NamedTuple):
    """An image to explain: of a file, or of the run's test images, whose class is known."""

    name: str
    stem: str  # of the files that are written
    pixels: Tensor  # uint8 (C, H, W)
    label: str | None = None


class ExplainedImage(NamedTuple):
    """The classes of an image, and the files that explain them."""

    path: str
    label: str | None  # the true class, where it is known
    top: list[tuple[str, float]]  # the most probable classes
    explained: tuple[str, float]
    picture: Path
    maps: Path | None
    scores: dict[str, dict[str, float]]  # deletion and insertion of each method's map
    best: str | None  # the method whose map has the best scores

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        explained = dict(zip(("class", "probability"), self.explained, strict=True))
        name, probability = self.top[0]
        values = {**self._asdict(), "class": name, "probability": probability, "top": dict(self.top)}
        return {**values, "explained": explained, "picture": str(self.picture), "maps": self.maps and str(self.maps)}


@dataclass
class Drawing:
    """What is drawn, and where.

    Args:
        output: a folder, or a .png for all images.
        label: the class to explain; by default the predicted one.
        module: the module of the class activation map; by default a block around one of the last convolutions.
        cam: kind of the class activation map.
        maps: whether to draw the feature maps, too.
        taken: files that must not be written to.
    """

    output: Path
    label: str | None = None
    module: str | None = None
    cam: CamName = "HiResCAM"
    maps: bool = False
    taken: set[Path] = field(default_factory=set)

    @property
    def is_one_sheet(self) -> bool:
        """Whether all images are drawn in one picture."""
        return self.output.suffix.lower() == ".png"

    def name_files(self, stem: str) -> tuple[Path, Path]:
        """New names for a picture and for one of feature maps."""
        if self.is_one_sheet:
            return self.output, self.output.with_name(f"{self.output.stem}_maps.png")
        names = (self.output / (stem if n == 1 else f"{stem}-{n}") for n in itertools.count(1))
        pairs = ((Path(f"{name}_explained.png"), Path(f"{name}_maps.png")) for name in names)
        pair = next(pair for pair in pairs if not self.taken & {path.resolve() for path in pair})
        self.taken |= {path.resolve() for path in pair}
        return pair


def read_files(files: Sequence[Path], data: Preprocessing, unread: list[str]) -> Iterator[list[Source]]:
    """The images of files, a few at a time; what cannot be read, and why, is added to ``unread``."""
    for batch in data.decode(files, BATCH_SIZE):
        unread += [str(pixels) for _, pixels in batch if isinstance(pixels, UnreadableImage)]
        yield [Source(str(file), file.stem, pixels) for file, pixels in batch if isinstance(pixels, Tensor)]


def read_test_images(run: runs.RunFolder, numbers: Sequence[int]) -> Iterator[list[Source]]:
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
    for index in torch.split(torch.tensor(numbers), BATCH_SIZE):
        images, labels = store.test_images.index_select(0, index), store.test_labels[index]
        known = [label.nonzero().flatten() if label.ndim else label[None] for label in labels]
        names = ["|".join(store.class_names[k] for k in classes.tolist()) for classes in known]
        yield [
            Source(f"test image {number}", f"test_{number:05d}", pixels, name)
            for number, pixels, name in zip(index.tolist(), images, names, strict=True)
        ]


def draw_explanations(
    classifier: "Classifier", data: Preprocessing, batches: Iterable[list[Source]], drawing: Drawing
) -> Iterator[ExplainedImage]:
    """Explain images and write their pictures; those of one batch are in memory at a time, or all of a sheet.

    Raises:
        UserError: the net does not fit the names of its classes, the class activation map has no module to look at, or
            a file cannot be written.
    """
    names = data.class_names
    target = None if drawing.label is None else names.index(drawing.label)
    sheet: list[Explanation] = []
    for sources in filter(None, batches):
        images = data.normalize(torch.stack([source.pixels for source in sources]).to(classifier.device))
        probabilities = predict_probabilities(classifier, images, names)
        tops = top_classes(probabilities, names, TOP)
        net, black = classifier.net, (data.mean, data.std)
        attributions = attribution_maps(net, images, *black, target, drawing.module, drawing.cam)
        # The scores are of probabilities that add up to 1; with several labels an image there are none.
        scores = {} if classifier.multilabel else score_maps(net, images, attributions, *black, target)
        stages = feature_maps(classifier.net, images) if drawing.maps else {}
        for index, (source, top) in enumerate(zip(sources, tops, strict=True)):
            picture, maps = drawing.name_files(source.stem)
            explained = top[0] if target is None else (names[target], float(probabilities[index, target]))
            believed = {name: Faithfulness(*(part[index] for part in each)) for name, each in scores.items()}
            numbers = {
                name: {key: float(value) for key, value in each._asdict().items()} for name, each in believed.items()
            }
            best, drawn = choose_most_faithful(scores, index), maps if drawing.maps else None
            image = ExplainedImage(source.name, source.label, top, explained, picture, drawn, numbers, best)
            own = {name: each[index] for name, each in attributions.items()}
            row = Explanation(source.pixels, _title(image), own, believed)
            if drawing.is_one_sheet:
                sheet.append(row)
            else:
                write_bytes(picture, png_bytes(explanation_figure([row])))
            if drawing.maps:
                write_bytes(maps, encode_png(feature_picture(stages, index)))
            yield image
    if sheet:
        write_bytes(drawing.output, png_bytes(explanation_figure(sheet)))


def _title(image: ExplainedImage) -> str:
    name = image.path if len(image.path) <= 50 else f"…{image.path[-49:]}"
    known = f" (true: {short(image.label)})" if image.label is not None else ""
    top = [image.top[0], *((name, share) for name, share in image.top[1:] if share >= 0.0005)]  # not those of 0.0 %
    classes = ", ".join(f"{short(name)} {share:.1%}" for name, share in top)
    other = f"; explained: {short(image.explained[0])}" if image.explained != image.top[0] else ""
    return f"{short(name, 50)}{known}\n{classes}{other}"
