"""One run in every format, exported once for all tests here: a trace and a conversion take seconds."""

import shutil
from pathlib import Path

import pytest
from torch.export import ExportedProgram

from cnnkit.cli import main
from cnnkit.export import SUFFIXES, exporting
from cnnkit.export.deployed import DeployedNet, trace
from cnnkit.export.subject import Subject, open_subject
from cnnkit.runs import RunFolder


@pytest.fixture(scope="session")
def trained_once(trained_once: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A copy of the run of two epochs: an export counts its look at the test images there."""
    copy = tmp_path_factory.mktemp("copied") / "small" / trained_once.path.name
    shutil.copytree(trained_once.path, copy)
    return RunFolder(copy)


@pytest.fixture(scope="session")
def subject(trained_once: RunFolder) -> Subject:
    return open_subject(trained_once)


@pytest.fixture(scope="session")
def program(subject: Subject) -> ExportedProgram:
    return trace(DeployedNet(subject.classifier, subject.data))


@pytest.fixture(scope="session")
def exported(trained_once: RunFolder, program: ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the net of `trained_once` as net.onnx, net.pt2 and net.safetensors; do not write to it."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(exporting, "trace", lambda net: program)
        for kind, suffix in SUFFIXES.items():
            words = ["--run", str(trained_once.path), "--format", kind, "-o", f"net{suffix}", "--check_images", "50"]
            assert main(["export", *words]) == 0
    return folder


@pytest.fixture
def written_before(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files that were written before in place of writing them, for what is about the rest."""

    def copy(kind: str, subject: Subject, file: Path) -> None:
        file.write_bytes((exported / f"net{SUFFIXES[kind]}").read_bytes())

    monkeypatch.setattr(exporting, "write", copy)
