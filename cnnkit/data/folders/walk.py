"""List what a folder holds: folders, image files by their suffix, or only another folder. No file is opened."""

import os
from contextlib import suppress
from pathlib import Path

from cnnkit.data.folders.names import BESIDE_CLASSES, CONTAINERS, recognize_part
from cnnkit.data.images.formats import IMAGE_SUFFIXES
from cnnkit.data.images.listing import is_hidden, is_upward_link
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.runs.folder import ROOT

_DEPTH = 8  # folders that hold nothing but one folder


def check_folder(path: Path) -> None:
    """Refuse a file and a broken link with a `UserError`."""
    if path.is_symlink() and not path.exists():
        raise UserError(f"{printable(path)}: is a link that leads nowhere; name the folder with your images")
    if path.exists() and not path.is_dir():
        raise UserError(f"{printable(path)}: is a file, not a folder; unpack it and name the folder")


def list_folders(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones, cnnkit's own and links to a folder above.

    Raises:
        UserError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir())
        return [path for path in map(folder.joinpath, names) if not _is_ours(path) and not is_upward_link(path)]
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: cannot list the folder ({error.strerror}); name one with your images"
        ) from None


def list_upward_links(folder: Path) -> list[str]:
    """List the names of links in a folder that lead to it or to a folder above it."""
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir() if is_upward_link(path) and not is_hidden(path.name))
    return []


def _is_ours(folder: Path) -> bool:
    """Whether cnnkit has made that folder for its runs or data."""
    if folder.name == ROOT:
        return next(folder.glob("*/*/config.yaml"), None) is not None
    return (folder / ".cnnkit").is_dir()


def descend(root: Path) -> Path:
    """Go down through folders that hold only one folder, as zip files often do."""
    top = root
    for _ in range(_DEPTH):
        folders = list_folders(top)
        if any(recognize_part(folder.name) for folder in folders) or list_images(top):
            return top
        held = [folder for folder in folders if has_images(folder)]
        # Of several folders, the one with the images is taken if the names of all of them are unambiguous.
        clear = len(folders) == 1 or all(
            folder.name.casefold() in (CONTAINERS if folder in held else BESIDE_CLASSES) for folder in folders
        )
        if len(held) != 1 or not clear or not any(map(has_images, list_folders(held[0]))):
            return top
        top = held[0]
    return top


def skip_wrapper_folders(part: Path, deep: bool = False) -> Path:
    """Go down through folders of the same meaning: seg_train/seg_train, Final_Training/Images; `deep`: of any name."""
    for _ in range(_DEPTH):
        folders = list_folders(part)
        if len(folders) != 1 or list_images(part):
            return part
        only = folders[0]
        same = recognize_part(only.name) == recognize_part(part.name) or only.name.casefold() in CONTAINERS
        if not same and not (deep and any(map(has_images, list_folders(only)))):
            return part
        part = only
    return part


def is_flat(folder: Path) -> bool:
    """Whether a folder holds images, but no folders with images."""
    inner = skip_wrapper_folders(folder)
    return bool(list_images(inner)) and not any(map(has_images, list_folders(inner)))


def list_images(folder: Path) -> list[Path]:
    """List the image files directly in a folder, by their suffix, sorted."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _looks_like_image(entry.name) and entry.is_file())
        return [folder / name for name in names]
    return []


def has_images(folder: Path) -> bool:
    """Whether a folder, or one below it, holds an image file; links to folders are not followed."""
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        if any(_looks_like_image(name) and Path(at, name).is_file() for name in files):
            return True
    return False


def _looks_like_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (speed)
