"""A trained net from its run folder or a checkpoint, ready for images in Python."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor

from cnnkit import runs
from cnnkit.config_files.cards import find_config
from cnnkit.config_files.yaml_files import read_file
from cnnkit.errors import UserError
from cnnkit.inference.images import ImageInput, read_batches
from cnnkit.inference.preprocessing import Preprocessing, read_preprocessing
from cnnkit.inference.results import ImageExplanation, Prediction, Predictions
from cnnkit.inference.trained_net import find_device, load_classifier, predict_probabilities, use_tau
from cnnkit.notices import say
from cnnkit.suggest import suggest
from cnnkit.tasks.loss import match_dtype
from cnnkit.tasks.stages import compute_features, find_head
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier

Images = ImageInput | Iterable[ImageInput]
EXPLAINED = 8  # images at a time, as in `cnnkit explain`: maps take many passes


def load(
    run: str | Path,
    checkpoint: str | None = None,
    *,
    tta: TTA | None = None,
    posthoc_tau: float | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    config: str | Path | Sequence[str | Path] = (),
) -> "Predictor":
    """Load a trained net from a run or a checkpoint; `cnnkit.export.loading.load`, for users, explains the arguments.

    Raises:
        UserError: there is no such run or checkpoint, it cannot be read, or does not say how to build its net or how
            its images were prepared; or another argument is wrong.
    """
    place, folder = Path(run), None
    if place.is_file() or place.suffix == ".ckpt" or "://" in str(run):
        if checkpoint is not None:
            raise UserError(f"checkpoint is {checkpoint!r}, but {run} is a checkpoint itself: give one of them")
        path = runs.choose_checkpoint(None, str(run))
    else:
        folder = runs.choose_finished(place)
        path = runs.choose_checkpoint(folder, checkpoint)
    given = [config] if isinstance(config, (str, Path)) else config
    named = [read_file(find_config(str(file))).path for file in given]
    classifier, content = load_classifier(path, [*([folder.config] if folder else []), *named], tta=None)
    if posthoc_tau is not None:
        use_tau(classifier, posthoc_tau, content)
    found = Predictor(classifier, read_preprocessing(content, path), path, batch_size=batch_size, device=device)
    found.tta = found.tta if tta is None else tta
    if classifier.correction.temperatures and classifier.correction.find_temperature(found.tta) is None:
        say(f"{path}: has a temperature, but not for these predictions, so their probabilities are not calibrated")
    return found


class Predictor:
    """A trained net with the preparation of its images.

    Images are names of files or folders, PIL images, NumPy arrays (H, W), (H, W, C) or (N, H, W, C), or tensors (H, W),
    (C, H, W) or (N, C, H, W), of uint8; or a list of them. They may have any size; the run's own rule brings them to
    the net's size.

    Args:
        classifier: the trained net, or a task.
        data: the preparation of its images.
        path: of the checkpoint.
        batch_size: images that the net gets at a time.
        device: see `load`.
    """

    def __init__(
        self,
        classifier: "Classifier",
        data: Preprocessing,
        path: Path,
        *,
        batch_size: int = 64,
        device: str | torch.device | None = None,
    ) -> None:
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UserError(f"batch_size is {batch_size!r}: give a whole number from 1")
        try:
            self._classifier = classifier.to(find_device() if device is None else torch.device(device))
        except (RuntimeError, AssertionError) as error:  # torch's own words for an unknown or a missing device
            raise UserError(f"device is {device!r}: {str(error).splitlines()[0]}; leave it out") from None
        self._data, self.path, self.batch_size = data, path, batch_size
        self.class_names = tuple(data.class_names)

    @property
    def net(self) -> torch.nn.Module:
        """The net, in evaluation mode: maps normalized images (B, C, H, W) to logits (B, K)."""
        return self._classifier.net

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared for the net."""
        return self._data

    @property
    def tta(self) -> TTA:
        """Views of each image to average over."""
        return self._classifier.tta

    @tta.setter
    def tta(self, kind: TTA) -> None:
        if kind not in get_args(TTA):
            raise UserError(f"tta is {kind!r}: choose one of {', '.join(get_args(TTA))}")
        self._classifier.tta = kind

    def predict(self, images: Images) -> Predictions:
        """Predict the classes of images; with several labels an image, those that reach the checkpoint's thresholds.

        Raises:
            UserError: an image has another form, or a file cannot be read.
        """
        names, rows = [], []
        for batch, prepared, _ in self._prepare(images, self.batch_size):
            names += batch
            rows.append(predict_probabilities(self._classifier, prepared, self.class_names))
        return Predictions(names, torch.cat(rows).numpy(), self.class_names, self._thresholds)

    def embed(self, images: Images, head: str = "auto") -> np.ndarray:
        """Compute features (N, D), float32: what the last layer of the net, its head, gets.

        Args:
            images: see the class.
            head: dotted name of the head; ``auto``: timm's classifier, else the last Linear.

        Raises:
            UserError: as `predict`; or the net has no such head.
        """
        net = self.net
        module = net.get_submodule(find_head(net, head))
        rows = []
        with torch.inference_mode():
            for _, prepared, _ in self._prepare(images, self.batch_size):
                rows.append(compute_features(net, module, match_dtype(prepared, net))[0].float().cpu())
        return np.asarray(torch.cat(rows))

    def explain(
        self, images: Images, label: str | None = None, module: str | None = None, *, quick: bool = False
    ) -> list[ImageExplanation]:
        """Show which pixels speak for a class: HiResCAM, and with captum integrated gradients and occlusion.

        Args:
            images: see the class.
            label: the class to explain; by default the one that the net predicts.
            module: where HiResCAM looks; by default as `cnnkit explain` does.
            quick: HiResCAM alone, if the net has a convolution.

        Raises:
            UserError: as `predict`; or the net has no such class, or no such module.
        """
        from cnnkit.inspection.explanation import attribution_maps

        if label is not None and label not in self.class_names:
            raise UserError(f"class {label!r} is none of the net's{suggest(str(label), self.class_names)}")
        target = None if label is None else self.class_names.index(label)
        found = []
        views, self._classifier.tta = self.tta, "none"  # the maps explain the net, not a mean over views
        try:
            for names, prepared, pixels in self._prepare(images, EXPLAINED):
                probabilities = predict_probabilities(self._classifier, prepared, self.class_names).numpy()
                maps = attribution_maps(
                    self.net, prepared, self._data.mean, self._data.std, target, module, quick=quick
                )
                for k, name in enumerate(names):
                    prediction = Prediction(name, probabilities[k], self.class_names, self._thresholds)
                    own = {method: values[k].numpy() for method, values in maps.items()}
                    image = np.ascontiguousarray(pixels[k].permute(1, 2, 0).numpy())
                    found.append(ImageExplanation(prediction, label or prediction.label, image, own))
        finally:
            self._classifier.tta = views
        return found

    @property
    def _thresholds(self) -> np.ndarray | None:
        return self._classifier.thresholds.cpu().numpy() if self._classifier.multilabel else None

    def _prepare(self, images: Any, batch_size: int) -> Iterator[tuple[list[str], Tensor, Tensor]]:
        """Yield names, the net's input, float32 (B, C, H, W), on the device, and the pixels, uint8, of batches."""
        for names, pixels in read_batches(images, self._data, batch_size):
            yield names, self._data.normalize(pixels.to(self._classifier.device)), pixels

    def __repr__(self) -> str:
        channels, (height, width) = self._data.in_channels, self._data.size
        net, views = type(self.net).__name__, "" if self.tta == "none" else f", tta {self.tta}"
        temperature = self._classifier.correction.find_temperature(self.tta)
        views += "" if temperature is None else f", temperature {temperature:.3g}"
        count = f"{len(self.class_names)} classes"
        return f"<{net} of {self.path}: {channels}x{height}x{width} pixels to {count}{views}>"
