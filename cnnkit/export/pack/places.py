"""Where a pack is written: a folder or a zip file, whole or not at all."""

import shutil
import zipfile
from pathlib import Path
from typing import IO

from cnnkit.errors import UserError
from cnnkit.files import replacing_folder

SUMS = "SHA256SUMS"
_OTHER_KINDS = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".onnx", ".pt2", ".safetensors", ".ckpt")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can hold


def check_place(output: Path) -> None:
    """Check where a pack will be written; an existing zip file and an earlier pack are replaced.

    Raises:
        UserError: it is another kind of file, or a folder that contains something else than a pack.
    """
    if (
        output.name in ("", "..")
        or output.suffix.lower() in _OTHER_KINDS
        or (output.exists() and not output.is_dir() and not is_zip(output))
    ):
        raise UserError(f"output is {output}: give a folder, or a file that ends in .zip")
    if is_zip(output):
        if output.is_dir():
            raise UserError(f"output is {output}, which is a folder: give a file that ends in .zip")
    elif output.is_dir() and (other := _find_other(output)):
        raise UserError(f"{output}: holds {other}, which is no part of a pack; name a new folder")


def is_zip(output: Path) -> bool:
    """Whether a pack goes into a zip file."""
    return output.suffix.lower() == ".zip"


def _find_other(folder: Path) -> str:
    """Return the name of a file that no earlier pack has written there; empty if there is none."""
    sums = folder / SUMS
    known = {SUMS}
    if sums.is_file():
        known |= {line.partition("  ")[2] for line in sums.read_text("utf-8", "replace").splitlines()}
    there = sorted(file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())
    names = (file.relative_to(folder).as_posix() for file in there)
    return next((name for name in names if name not in known), "")


def write_folder(made: Path, output: Path) -> None:
    """Copy a made pack into its place.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with replacing_folder(output) as part:
            shutil.copytree(made, part, dirs_exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, shutil.Error):  # it has a list of all files with their errors
            reason = str(error.args[0][0][2]).partition(": ")[0]
        raise UserError(f"{output}: cannot be written ({reason}); name another folder") from None


def write_zip(made: Path, file: IO[bytes], name: str) -> None:
    """Write a folder as a zip file whose bytes depend on its files alone.

    Args:
        made: the folder.
        file: to write to.
        name: of the folder that unpacking makes.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(path for path in made.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(made).as_posix()}", _EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            entry.file_size = path.stat().st_size  # decides about the larger form of an entry
            with path.open("rb") as content, archive.open(entry, "w") as target:
                shutil.copyfileobj(content, target)
