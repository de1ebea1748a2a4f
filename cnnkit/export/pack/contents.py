"""The small files of a pack: class names, requirements, license, and the check with its synthetic images."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.export.pack.noise import write_noise
from cnnkit.export.subject import Subject
from cnnkit.files import open_regular
from cnnkit.inference.predictor import Predictor

TOLERANCE = 1e-4  # of a probability, as in the proof of an export
SCRIPT = Path(__file__).with_name("predict.py")
# Kind of file -> its name, and the packages that run it; weights alone run in cnnkit only.
FILES = {
    "onnx": ("model.onnx", ("numpy", "pillow", "onnxruntime")),
    "torch": ("model.pt2", ("numpy", "pillow", "torch")),
    "safetensors": ("model.safetensors", ()),
}
# What a card says of each file.
FILE_CONTENTS = {
    "model.onnx": "the model, for onnxruntime",
    "model.pt2": "the model as a graph, for torch.export.load",
    "model.safetensors": "the weights, for cnnkit.load",
    "predict.py": "predicts image files with the model; needs no cnnkit",
    **{f"{name}.json": f"the proof of {name}, on test images" for name, _ in FILES.values()},
    "requirements.txt": "the packages that predict.py needs, in the versions of the check",
    "class_names.txt": "a line for each class, in the order of the probabilities",
    "config.yaml": "the configuration of the training",
    "check.json": "the probabilities that the net itself gives the synthetic images in check/",
    "LICENSE": "the license of the model",
}
_MOST = 1_000_000  # bytes of a license


def list_class_names(names: Sequence[str]) -> str:
    """Return a line for each class; a name that is no plain line of text is written as a JSON string.

    Example:
        >>> print(list_class_names(["cat", "two\\nlines"]), end="")
        cat
        "two\\nlines"
    """
    lines = (name if name.isprintable() and name == name.strip() != "" and name[0] != '"' else None for name in names)
    return "".join(f"{json.dumps(name) if line is None else line}\n" for name, line in zip(names, lines, strict=True))


def list_requirements(formats: Sequence[str]) -> str:
    """Return the packages that run the model files, in the installed versions, with which a pack is checked."""
    packages = dict.fromkeys(package for kind in formats for package in FILES[kind][1])
    lines = (f"{package}=={version(package).partition('+')[0]}\n" for package in packages)
    return "# The versions with which this pack was checked; others may do.\n" + "".join(lines)


def read_license(file: Path) -> str:
    """Read the text of a license.

    Raises:
        UserError: it cannot be read, is no text, or is longer than a license can be.
    """
    try:
        with open_regular(file) as stream:
            text: str = stream.read(_MOST + 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); name the file of the license") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: no UTF-8 text; name the file of the license") from None
    if not text.strip() or len(text) > _MOST:
        raise UserError(f"{file}: {'too long for' if text.strip() else 'empty, and no'} license; name its file")
    return text


def write_check(made: Path, subject: Subject) -> None:
    """Write the synthetic images into ``check/``, and what the net itself says of them into ``check.json``."""
    folder = made / "check"
    folder.mkdir()
    files = write_noise(folder, subject.data)
    net = Predictor(subject.classifier, subject.data, subject.path, device="cpu")
    rows = net.predict(files).probabilities.tolist()
    images: list[dict[str, Any]] = [
        {"file": f"check/{file.name}", "probabilities": [round(value, 8) for value in row]}
        for file, row in zip(files, rows, strict=True)
    ]
    check = {"tolerance": TOLERANCE, "class_names": list(subject.data.class_names), "images": images}
    (made / "check.json").write_text(json.dumps(check, indent=1) + "\n", encoding="utf-8")
