"""Write a trained net as a graph of torch (.pt2), and run such a file."""

from pathlib import Path

import torch
from torch.export import ExportedProgram

from cnnkit.errors import UserError
from cnnkit.export.deployed import quiet
from cnnkit.export.description import KEY, ModelDescription, read_description
from cnnkit.export.running import FileClassifier
from cnnkit.export.torch_archive import copy_archive, read_text
from cnnkit.files import check_regular


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
    check_regular(path)
    description = read_description(read_text(path), path)
    copy = copy_archive(path)
    try:
        with quiet():
            module = torch.export.load(copy).module()
    except Exception as error:  # torch's own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: torch {torch.__version__} cannot read it ({reason}); export it again") from None
    return FileClassifier(torch.no_grad()(module), description, path)
