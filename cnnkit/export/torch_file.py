"""Write a trained net as a graph of torch (.pt2), and run such a file."""

import zipfile
from pathlib import Path

import torch
from torch.export import ExportedProgram

from cnnkit.errors import UserError
from cnnkit.export.deployed import quiet
from cnnkit.export.description import KEY, ModelDescription, read_description
from cnnkit.export.running import FileClassifier


def write_torch(program: ExportedProgram, description: ModelDescription, path: Path) -> None:
    """Write the graph of a net.

    Args:
        program: from `cnnkit.export.deployed.trace`.
        description: goes into the file's extra files.
        path: of the file, which ends in .pt2.
    """
    with quiet():
        torch.export.save(program, path, extra_files={KEY: description.to_json()})


def open_torch(path: Path) -> FileClassifier:
    """Open a .pt2 file that `write_torch` has written, to run it on the CPU.

    Raises:
        UserError: the file is missing, damaged, without a description, of another version of torch, or holds anything
            that torch would run as code while it reads the file.
    """
    description = check_torch(path)
    try:
        with quiet():
            module = torch.export.load(path).module()
    except Exception as error:  # torch's own kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: torch {torch.__version__} cannot read it ({reason}); export it again") from None
    return FileClassifier(torch.no_grad()(module), description, path)


def check_torch(path: Path) -> ModelDescription:
    """Read the description of a .pt2 file."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"/extra/{KEY}")]
        return read_description(archive.read(names[0]) if names else None, path)
