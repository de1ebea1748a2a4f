"""What an exported file says of itself, as JSON inside it: classes, preparation of images, origin."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import cnnkit
from cnnkit.errors import UserError
from cnnkit.files import open_regular
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.runs import RunFolder
from cnnkit.tasks.correction import Correction
from cnnkit.tasks.tta import TTA

if TYPE_CHECKING:
    from cnnkit.inference.trained_net import Classifier

KEY = "cnnkit"  # of the description in a file's metadata
FORMAT = 1  # a change that older versions would read wrongly needs another number


@dataclass(frozen=True)
class ModelDescription:
    """The description that travels inside every exported file.

    Args:
        class_names: in the order of the probabilities.
        in_channels: 1 for gray images, 3 for RGB.
        image_size: height and width to which the file brings images, in pixels.
        resize: how: ``crop``, ``squash`` or ``pad``, see `cnnkit.data.images.decode.read_image`.
        mean: of each channel, in [0, 1], subtracted inside the file.
        std: of each channel, by which the file divides.
        max_pixels: images with more were refused in training.
        thresholds: with several labels an image, the probability from which on it has a class; else None.
        tta: views of each image that the file averages over.
        posthoc_tau: strength of the adjustment for the sizes of the classes; 0 for none.
        temperature: by which the file divides the logits; None for none.
        net: ``class_path`` of the net; in a file of weights all that is needed to build it again.
        run: ``name`` and ``id`` of the run folder, if there was one.
        checkpoint: ``file``, ``sha256``, ``epoch`` and ``step``.
        precision: ``float32`` or ``int8``.
        cnnkit: the version that wrote the file.
        format: of this description.
    """

    class_names: list[str]
    in_channels: int
    image_size: list[int]
    resize: str
    mean: list[float]
    std: list[float]
    max_pixels: int
    thresholds: list[float] | None = None
    tta: str = "none"
    posthoc_tau: float = 0.0
    temperature: float | None = None
    net: dict[str, Any] = field(default_factory=dict)
    run: dict[str, str] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    cnnkit: str = cnnkit.__version__
    format: int = FORMAT

    def to_json(self) -> str:
        """The description as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def preprocessing(self) -> Preprocessing:
        """How the images of the net are prepared."""
        size = list(self.image_size)
        return Preprocessing(
            self.class_names, self.in_channels, size, self.mean, self.std, self.resize, self.max_pixels
        )

    @property
    def correction(self) -> Correction:
        """What is done to the logits, for tables to tell."""
        found = Correction(self.posthoc_tau)
        found.temperatures = {} if self.temperature is None else {self.tta: self.temperature}
        return found


def describe(
    classifier: "Classifier", data: Preprocessing, content: Mapping[str, Any], path: Path, run: RunFolder | None
) -> ModelDescription:
    """Describe what a checkpoint predicts with.

    Args:
        classifier: rebuilt from the checkpoint; its views and its correction are described.
        data: the preparation of its images.
        content: of the checkpoint.
        path: of the checkpoint.
        run: that it belongs to, if known.
    """
    with open_regular(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    correction = classifier.correction
    net = type(classifier.net)
    return ModelDescription(
        class_names=list(data.class_names),
        in_channels=data.in_channels,
        image_size=list(data.size),
        resize=data.resize,
        mean=list(map(float, data.mean)),
        std=list(map(float, data.std)),
        max_pixels=data.max_pixels,
        thresholds=classifier.thresholds.tolist() if classifier.multilabel else None,
        tta=classifier.tta,
        posthoc_tau=correction.tau,
        temperature=correction.find_temperature(classifier.tta),
        net={"class_path": f"{net.__module__}.{net.__qualname__}"},
        run={} if run is None else {"name": run.path.resolve().parent.name, "id": run.path.resolve().name},
        checkpoint={
            "file": path.name,
            "sha256": digest,
            "epoch": content["epoch"] + 1,
            "step": content["global_step"],
        },
    )


class _NewerForm(UserError):
    """The description has a form that this version does not know."""


def read_description(text: str | bytes | None, path: Path) -> ModelDescription:
    """Read the description of a file.

    Args:
        text: JSON, as `ModelDescription.to_json` writes it; None if the file has none.
        path: of the file, for errors.

    Raises:
        UserError: there is none, it is damaged, or of a newer cnnkit.
    """
    if text is None:
        raise UserError(f"{path}: has no description of cnnkit in it; `cnnkit export` writes files that have one")
    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            raise _NewerForm(
                f"{path}: written by cnnkit {found.get('cnnkit')} in a newer form, {found['format']}, than this "
                f"version, {cnnkit.__version__}, can read; update cnnkit"
            )
        names = {each.name for each in dataclasses.fields(ModelDescription)}
        read = ModelDescription(**{key: value for key, value in found.items() if key in names})
        _check(read)
    except _NewerForm:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: its description is damaged ({error}); export it again") from None
    return read


def _check(found: ModelDescription) -> None:
    """Check what a prediction relies on, so that a damaged description is no traceback later."""
    classes, channels = len(found.class_names), found.in_channels
    if not (classes and all(isinstance(name, str) for name in found.class_names)):
        raise ValueError("class_names")
    if channels not in (1, 3) or not len(found.mean) == len(found.std) == channels:
        raise ValueError("in_channels")
    if len(found.image_size) != 2 or not all(isinstance(side, int) and side > 0 for side in found.image_size):
        raise ValueError("image_size")
    if found.resize not in ("crop", "squash", "pad") or not isinstance(found.max_pixels, int):
        raise ValueError("resize")
    if not all(deviation > 0 for deviation in found.std) or not all(map(math.isfinite, found.mean)):
        raise ValueError("std")
    thresholds = found.thresholds
    if thresholds is not None and (len(thresholds) != classes or not all(map(math.isfinite, thresholds))):
        raise ValueError("thresholds")
    if found.tta not in get_args(TTA) or not (found.temperature is None or found.temperature > 0):
        raise ValueError("tta or temperature")
    Correction(found.posthoc_tau)
