"""An exported file in the place of a trained net: it predicts from pixels, and knows nothing else."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.export.description import ModelDescription
from cnnkit.inference.predictor import Images, Predictor
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.inference.results import ImageExplanation
from cnnkit.tasks.tta import TTA


class FileClassifier(nn.Module):
    """What an exported file predicts, with the attributes of `cnnkit.inference.trained_net.TrainedNet`.

    Args:
        run: maps images, uint8 (B, C, H, W), to probabilities (B, K), float32.
        description: of the file.
        path: of the file.
    """

    def __init__(self, run: Callable[[Tensor], Tensor], description: ModelDescription, path: Path) -> None:
        super().__init__()
        self.run, self.description, self.path = run, description, path
        self.multilabel = description.thresholds is not None
        self.thresholds = torch.tensor(description.thresholds or [])
        self.correction, self._tta = description.correction, description.tta
        self.device = torch.device("cpu")

    @property
    def net(self) -> NoReturn:
        """There is none to look into."""
        raise UserError(
            f"{self.path}: predicts alone, for {self.path.suffix} files have no modules to look into; "
            "load the run, or a .safetensors export of it"
        )

    @property
    def tta(self) -> TTA:
        """Views that the file averages over."""
        return self._tta  # type: ignore[return-value]

    @tta.setter
    def tta(self, kind: TTA) -> NoReturn:
        raise UserError(f"{self.path}: averages over the views {self._tta!r}, which are part of it; export it again")

    def to(self, *args: Any, **kwargs: Any) -> "FileClassifier":
        """Stay on the CPU."""
        return self

    def predict_step(self, images: Tensor, batch_idx: int = 0) -> Tensor:
        """Map images, uint8 (B, C, H, W), to probabilities (B, K), float32."""
        return self.run(images.cpu().contiguous())


class PixelsAsTheyAre(Preprocessing):
    """The preparation of images for a file that normalizes them itself."""

    @cached_property
    def normalize(self) -> Callable[[Tensor], Tensor]:
        """Return the pixels."""
        return nn.Identity()


class FilePredictor(Predictor):
    """A `Predictor` whose net is an ONNX file or a graph of torch: it predicts, and has no modules to look into.

    Args:
        classifier: of the file.
        data: the preparation of its images.
        batch_size: images at a time.
    """

    def __init__(self, classifier: FileClassifier, data: Preprocessing, batch_size: int = 64) -> None:
        self._file = classifier
        super().__init__(cast(Any, classifier), data, classifier.path, batch_size=batch_size)

    def embed(self, images: Images, head: str = "auto") -> np.ndarray:
        """Refuse: the file has no modules."""
        return self._file.net

    def explain(
        self, images: Images, label: str | None = None, module: str | None = None, *, quick: bool = False
    ) -> list[ImageExplanation]:
        """Refuse: the file has no modules."""
        return self._file.net

    def __repr__(self) -> str:
        channels, (height, width) = self._data.in_channels, self._data.size
        views = "" if self.tta == "none" else f", tta {self.tta}"
        precision = self._file.description.precision
        return (
            f"<{self.path}, {precision}: {channels}x{height}x{width} pixels to {len(self.class_names)} classes{views}>"
        )
