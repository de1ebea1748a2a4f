"""A file that does not predict what the net does is never left."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from refusals import assert_refused
from safetensors.torch import load_file, save_file
from small_runs import Cli
from torch.export import ExportedProgram

import cnnkit
from cnnkit.export import SUFFIXES, exporting
from cnnkit.export.deployed import DeployedNet
from cnnkit.export.loading import open_exported
from cnnkit.export.subject import Subject, take_files
from cnnkit.export.torch_file import write_torch
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.runs import RunFolder


def make_wrong(fault: str, program: ExportedProgram, original: Path, file: Path) -> None:
    """Write a copy of an exported file in which two classes have changed places, or another mean is subtracted."""
    opened = open_exported(original)
    names, mean = opened.description.class_names, opened.description.mean
    found = replace(opened.description, class_names=[names[1], names[0], *names[2:]])
    if fault == "mean":
        found = replace(opened.description, mean=[mean[0] + 0.2])
    if file.suffix == ".onnx":
        model = onnx.load(original)
        [shift] = [each for each in model.graph.initializer if each.name == "shift"]
        if fault == "mean":
            wrong = onnx.numpy_helper.to_array(shift) - 0.5
            shift.CopyFrom(onnx.numpy_helper.from_array(wrong.astype(np.float32), "shift"))
        onnx.helper.set_model_props(model, {"cnnkit": found.to_json()})
        onnx.save(model, file)
    elif file.suffix == ".pt2":
        with pytest.MonkeyPatch.context() as patch:
            if fault == "mean":
                patch.setitem(program.state_dict, "shift", program.state_dict["shift"] - 0.5)
            write_torch(program, found, file)
    else:
        save_file(load_file(original), file, {"cnnkit": found.to_json()})


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("onnx", "classes"),
        ("onnx", "mean"),
        pytest.param("torch", "classes", marks=pytest.mark.slow),
        pytest.param("torch", "mean", marks=pytest.mark.slow),
        ("safetensors", "classes"),
        pytest.param("safetensors", "mean", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_made_wrong_is_refused(
    cli: Cli,
    trained_once: RunFolder,
    program: ExportedProgram,
    exported: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    fault: str,
) -> None:
    original = exported / f"net{SUFFIXES[kind]}"
    monkeypatch.setattr(exporting, "write", lambda kind, subject, file: make_wrong(fault, program, original, file))
    file = Path(original.name)
    file.write_text("what was there before")
    ended = cli("export", "--run", str(trained_once), "--format", kind, "-o", str(file), "--check_images", "50")
    assert_refused(ended, f"error: {file}: not written, because the file does not predict what the net does")
    assert [each.name for each in Path().iterdir()] == [file.name]
    assert file.read_text() == "what was there before"


def test_another_resize_than_the_runs_is_refused(
    trained_once: RunFolder, subject: Subject, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the net's size nothing shows it."""

    class Brightness(torch.nn.Module):
        """Says how bright the images are, so that their margins count."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], 1) * 9

    data = replace(subject.data, class_names=["bright", "dark"], mean=[0.0], std=[1.0])
    other = subject._replace(classifier=TrainedNet(Brightness()), data=data)  # the run crops
    squashed = TrainedNet(Brightness())

    def run(kind: str, file: Path, inputs: list[Path], subject: Subject) -> np.ndarray:
        net = DeployedNet(squashed, replace(data, resize="squash"))
        return np.concatenate([net(torch.from_numpy(np.load(each))).numpy() for each in inputs])

    described = replace(open_exported(exported / "net.onnx").description, class_names=data.class_names)
    monkeypatch.setattr(exporting, "write", lambda *_: None)
    monkeypatch.setattr(exporting, "open_exported", lambda *_: SimpleNamespace(description=described))
    monkeypatch.setattr(exporting, "run_file", run)
    pixels = np.full((28, 84), 255, np.uint8)
    pixels[:, 28:56] = 0
    Image.fromarray(pixels).save(tmp_path / "bright_margins.png")
    with pytest.raises(cnnkit.errors.UserError, match="of 1 original files 1 have another class"):
        exporting.export_run(other, "onnx", tmp_path / "net.onnx", take_files([tmp_path / "bright_margins.png"], data))
    assert [each.name for each in tmp_path.iterdir()] == ["bright_margins.png"]
