"""Files that commands write where the user says."""

from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.files import writing_output


def check_png(output: str | Path) -> Path:
    """The path of a picture.

    Raises:
        UserError: it does not end in .png, or is a folder.
    """
    path = Path(output)
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"output is {path}: give a file that ends in .png")
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none of it; see `writing_output`."""
    with writing_output(path) as file:
        file.write(content)
