"""``cnnkit.load``: a trained net from its run folder, or from a file that ``cnnkit export`` has written."""

from collections.abc import Sequence
from pathlib import Path

import torch

from cnnkit.errors import UserError
from cnnkit.export.onnx_file import open_onnx
from cnnkit.export.running import FileClassifier, FilePredictor
from cnnkit.export.torch_file import open_torch
from cnnkit.inference import predictor
from cnnkit.inference.predictor import Predictor
from cnnkit.tasks.tta import TTA

_OPENERS = {".onnx": open_onnx, ".pt2": open_torch}
EXPORTED = (".onnx", ".pt2", ".safetensors")


def load(
    run: str | Path,
    checkpoint: str | None = None,
    *,
    tta: TTA | None = None,
    posthoc_tau: float | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    config: str | Path | Sequence[str | Path] = (),
) -> Predictor:
    """Load a trained net, to predict images with it. Neither its data nor a data module is needed.

    Args:
        run: a run folder; a name, which stands for its newest finished run, as ``--run`` takes it; a checkpoint; or a
            file that ``cnnkit export`` has written (.onnx, .pt2, .safetensors). The first two kinds of files predict
            alone: ``embed`` and ``explain`` need a run, a checkpoint or a .safetensors file.
        checkpoint: of the run: ``best`` (the default), ``last``, or another of its files. With an average of the
            weights (EMA) each of them holds the average.
        tta: views of each image to average over; by default the run's own. An exported file has its own.
        posthoc_tau: strength of the adjustment for the sizes of the classes, see docs/imbalance.md; by default the
            run's own. An exported file has its own.
        batch_size: images that the net gets at a time.
        device: such as ``cpu`` or ``cuda``; by default the machine's accelerator, if it has one. .onnx and .pt2 files
            run on the CPU.
        config: with a checkpoint or .safetensors file, configurations whose classes may be imported besides cnnkit's
            and torch's.

    Raises:
        UserError: there is no such run, checkpoint or file, it cannot be read, or does not say how to build its net or
            how its images were prepared; or another argument is wrong.
    """
    path = Path(run)
    if not is_exported(path):
        return predictor.load(
            run,
            checkpoint,
            tta=tta,
            posthoc_tau=posthoc_tau,
            batch_size=batch_size,
            device=device,
            config=config,
        )
    given = {"checkpoint": checkpoint, "tta": tta, "posthoc_tau": posthoc_tau}
    for name in (name for name, value in given.items() if value is not None):
        raise UserError(f"{name} is {given[name]!r}, but {run} is an exported file, which has its own: leave it out")
    classifier = open_exported(path)
    if isinstance(classifier, FileClassifier):
        if device is not None and torch.device(device).type != "cpu":
            raise UserError(f"device is {device!r}, but {run} runs on the CPU: leave it out")
        return FilePredictor(classifier, batch_size)
    raise NotImplementedError


def is_exported(path: Path) -> bool:
    """Whether a path is that of an exported file, by its suffix; a folder of runs may have any name."""
    return path.suffix.lower() in EXPORTED and not path.is_dir()


def open_exported(path: Path) -> FileClassifier:
    """Open an exported file of any kind.

    Raises:
        UserError: it is missing, damaged, foreign, of a newer cnnkit, or its packages are not installed.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; `cnnkit export --run RUN` writes one")
    return _OPENERS[path.suffix.lower()](path)
