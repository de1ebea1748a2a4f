"""``cnnkit.load``: a trained net from its run folder, or from a file that ``cnnkit export`` has written."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cnnkit.config_files.cards import find_config
from cnnkit.config_files.yaml_files import read_file
from cnnkit.errors import UserError
from cnnkit.export import SUFFIXES
from cnnkit.export.description import ModelDescription
from cnnkit.export.onnx_file import open_onnx
from cnnkit.export.running import FileClassifier, FilePredictor, PixelsAsTheyAre
from cnnkit.export.safetensors_file import open_safetensors
from cnnkit.export.torch_file import open_torch
from cnnkit.files import open_regular
from cnnkit.inference import predictor
from cnnkit.inference.predictor import Predictor
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.tasks.tta import TTA

EXPORTED = tuple(SUFFIXES.values())


class Opened(NamedTuple):
    """An exported file, ready to predict.

    Attributes:
        classifier: what predicts, like `cnnkit.inference.trained_net.TrainedNet`.
        data: the preparation of its images.
        description: of the file.
    """

    classifier: Any
    data: Preprocessing
    description: ModelDescription


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
    named = [config] if isinstance(config, (str, Path)) else config
    opened = open_exported(path, [read_file(find_config(str(file))).path for file in named])
    if not isinstance(opened.classifier, FileClassifier):
        return Predictor(opened.classifier, opened.data, path, batch_size=batch_size, device=device)
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise UserError(f"device is {device!r}, but {run} runs on the CPU: leave it out")
    return FilePredictor(opened.classifier, opened.data, batch_size)


def is_exported(path: Path) -> bool:
    """Whether a path is that of an exported file, by its suffix; a folder of runs may have any name."""
    return path.suffix.lower() in EXPORTED and not path.is_dir()


def open_exported(path: Path, configs: Sequence[Path] = ()) -> Opened:
    """Open an exported file of any kind.

    Args:
        path: of the file.
        configs: with a .safetensors file, configurations whose classes may be imported.

    Raises:
        UserError: it is missing, damaged, foreign, of a newer cnnkit, another one than its proof is about, or its
            packages are not installed.
    """
    if path.suffix.lower() not in EXPORTED:
        reason = f"{path}: no exported file: its name ends in none of {', '.join(EXPORTED)}"
        raise UserError(f"{reason}; a run is named by --run, a checkpoint by --ckpt_path")
    if not path.exists():
        raise UserError(f"{path}: no such file; `cnnkit export --run RUN` writes one")
    _compare_with_proof(path)
    if path.suffix.lower() == ".safetensors":
        net, description = open_safetensors(path, configs)
        return Opened(net, description.preprocessing, description)
    if configs:
        raise UserError(f"{path}: names no classes to import, so --config has no effect: leave it out")
    found = (open_onnx if path.suffix.lower() == ".onnx" else open_torch)(path)
    return Opened(found, PixelsAsTheyAre(**vars(found.description.preprocessing)), found.description)


def _compare_with_proof(path: Path) -> None:
    """Compare a file with the proof beside it, if there is one: a changed weight shows in nothing else.

    Raises:
        UserError: it was changed since it was checked.
    """
    proof = path.with_name(f"{path.name}.json")
    try:
        checked = json.loads(proof.read_text(encoding="utf-8"))["sha256"]
        with open_regular(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError):  # none, or another program's
        return
    if checked != found:
        raise UserError(f"{path}: is not the file that was checked, by its hash in {proof.name}; export it again")
