"""The trained net that is exported, and the images on which the file is compared with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.data.batches import Images
from cnnkit.data.image_files import ImageFiles
from cnnkit.inference.preprocessing import Preprocessing, read_preprocessing
from cnnkit.inference.trained_net import load_classifier, use_tau
from cnnkit.runs import RunFolder
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier


class Subject(NamedTuple):
    """A trained net as ``cnnkit predict`` runs it.

    Attributes:
        classifier: the net with its views and correction, or a task, in evaluation mode.
        data: the preparation of its images.
        content: of the checkpoint.
        path: of the checkpoint.
        run: that it belongs to, if known.
        configs: configurations whose classes may be imported.
    """

    classifier: "Classifier"
    data: Preprocessing
    content: dict[str, Any]
    path: Path
    run: RunFolder | None
    configs: list[Path]


def open_subject(
    run: RunFolder | None,
    checkpoint: str | None = None,
    configs: Sequence[Path] = (),
    *,
    tta: TTA | None = None,
    posthoc_tau: float | None = None,
) -> Subject:
    """Load the net to export.

    Args:
        run: the run, or None with the file of a checkpoint.
        checkpoint: ``best``, ``last``, or a file; by default the run's best.
        configs: configurations, besides the run's, whose classes may be imported.
        tta: views of each image to average over; by default the run's.
        posthoc_tau: strength of the adjustment for the sizes of the classes; by default the run's.

    Raises:
        UserError: as `cnnkit.load`.
    """
    path = runs.choose_checkpoint(run, checkpoint)
    trusted = [*([run.config] if run else []), *configs]
    classifier, content = load_classifier(path, trusted, tta=tta)
    if posthoc_tau is not None:
        use_tau(classifier, posthoc_tau, content)
    return Subject(classifier, read_preprocessing(content, path), content, path, run, trusted)


@dataclass
class CheckImages:
    """Images on which an exported file is compared with the net.

    Args:
        source: what they are, for the proof: ``test images``.
        pixels: of the net's size, uint8 (N, C, H, W).
        numbers: those that are taken, int64 (M,).
        labels: of all N images, int64 (N,), or (N, K) with several labels an image; None if they are not known.
        files: the N original files, if the images come from files.
    """

    source: str
    pixels: Images
    numbers: Tensor
    labels: Tensor | None = None
    files: Sequence[Path] = ()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield the pixels of the images that are taken, uint8 (B, C, H, W)."""
        for chosen in torch.split(self.numbers, size):
            yield self.pixels.index_select(0, chosen).contiguous()


def spread(total: int, count: int | None) -> Tensor:
    """Choose some of the images, evenly spaced, for those of a class may stand together; int64 (M,).

    Example:
        >>> spread(10, 4).tolist(), spread(2, None).tolist()
        ([0, 3, 6, 9], [0, 1])
    """
    if count is None or count >= total:
        return torch.arange(total)
    return torch.linspace(0, total - 1, count, dtype=torch.float64).round().long()


def take_files(files: Sequence[Path], data: Preprocessing, count: int | None = None) -> CheckImages:
    """Take image files, whose labels are not known, to check an export by."""
    pixels = ImageFiles(files, data.in_channels, data.size, data.resize, data.max_pixels)
    return CheckImages("image files", pixels, spread(len(files), count), files=files)
