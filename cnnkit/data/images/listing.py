"""Find the image files below a folder, and the reason for every file that is skipped."""

import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from cnnkit.data.images.formats import IMAGE_SUFFIXES, explain_unread, find_formats, read_head
from cnnkit.errors import UserError

HIDDEN, NO_IMAGE = "hidden", "no image by content"
NO_FILE, LINK = "not a regular file", "a link to a folder seen before"
PassedOver = dict[str, list[Path]]  # reason to paths
_JUNK = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"}


@dataclass
class ScanResult:
    """The result of `scan_images`.

    Attributes:
        files: The image files, sorted.
        passed_over: The other paths by reason, sorted. A reason is a short text for the user, with a remedy if there
            is one ("HEIC: pip install 'cnnkit[heif]' to read it"). A folder stands for all that is in it.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=lambda: defaultdict(list))


def scan_images(path: str | Path) -> ScanResult:
    """Find the image files of a folder and of all folders below it; a file is a result of its own.

    A file counts as an image if its suffix is in `IMAGE_SUFFIXES` or its content has a format that is read; only files
    with other suffixes are opened. A broken image is in `files`, and its decoder reports it. Hidden files and folders
    (see `is_hidden`) are skipped. Linked folders are followed after all others, each real folder once; a link to a
    folder above it is skipped.

    Raises:
        UserError: there is no such file or folder, or a folder cannot be listed.
    """
    top = Path(path)
    if not top.is_dir():
        if not top.exists() and not top.is_symlink():
            raise UserError(f"{path}: no such file or folder")
        return ScanResult([top])
    result = ScanResult()
    seen: set[tuple[int, int]] = set()
    links = [top]
    while links:  # breadth first over links, so that a folder comes before links to it
        later: list[Path] = []
        for link in links:
            _walk(link, seen, later, result)
        links = sorted(later)
    result.files.sort()
    for paths in result.passed_over.values():
        paths.sort()
    return result


def describe_passed_over(passed_over: Mapping[str, list[Path]], root: str | Path) -> str | None:
    """Describe what was skipped in one line: counts, examples and remedies; None if nothing was skipped.

    >>> describe_passed_over({"hidden": [Path("p/cat/.DS_Store")]}, "p")
    'p: 1 passed over: 1 hidden (cat/.DS_Store)'
    """
    if not passed_over:
        return None
    total = sum(map(len, passed_over.values()))
    groups = []
    for reason, paths in sorted(passed_over.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        kind, colon, remedy = reason.partition(": ")
        first = paths[0].relative_to(root) if paths[0].is_relative_to(root) else paths[0]
        groups.append(f"{len(paths):,} {kind} ({first}{colon and '; '}{remedy})")
    return f"{root}: {total:,} passed over: {', '.join(groups)}"


def _walk(top: Path, seen: set[tuple[int, int]], links: list[Path], result: ScanResult) -> None:
    """Walk real folders; add linked ones to `links`."""
    if not _is_new(top, seen):
        result.passed_over[LINK].append(top)
        return
    for folder, folders, files in os.walk(top, onerror=_refuse):
        at, inner = Path(folder), []
        for name in folders:
            path = at / name
            is_link = path.is_symlink()
            if is_hidden(name):
                result.passed_over[HIDDEN].append(path)
            elif is_link and not is_upward_link(path):
                links.append(path)
            elif not is_link and _is_new(path, seen):
                inner.append(name)
            else:  # a class would get the images of all other classes
                result.passed_over[LINK].append(path)
        folders[:] = inner
        for name in files:
            reason = _find_reason(folder, name)
            (result.files if reason is None else result.passed_over[reason]).append(at / name)


def is_upward_link(path: Path) -> bool:
    """Whether a path is a link to its own folder, or to one above."""
    return path.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())


def _is_new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        stat_result = folder.stat()
    except OSError as error:
        _refuse(error)
    key = (stat_result.st_dev, stat_result.st_ino)
    is_new = key not in seen
    seen.add(key)
    return is_new


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems and programs make for themselves."""
    return name.startswith(".") or name.casefold() in _JUNK


def _find_reason(folder: str, name: str) -> str | None:
    """Return the reason to skip a file; None if it counts as an image."""
    if is_hidden(name):
        return HIDDEN
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (speed)
    if suffix in IMAGE_SUFFIXES and suffix not in (".heic", ".heif", ".hif", ".avif", ".avifs"):
        return None
    path = Path(folder, name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would block
            return NO_FILE
        head = read_head(path)
    except OSError:
        return None if suffix in IMAGE_SUFFIXES else NO_FILE
    reason = explain_unread(head, suffix)
    if reason or suffix in IMAGE_SUFFIXES:
        return reason
    return None if _opens(path, find_formats(head, suffix)) else NO_IMAGE


def _opens(path: Path, formats: tuple[str, ...]) -> bool:
    """Whether the header is that of an image; signatures of two bytes occur in other files, too."""
    try:
        with Image.open(path, formats=formats):
            return bool(formats)
    except Image.DecompressionBombError:
        return True
    except Exception:  # decoders raise many kinds of errors
        return False


def _refuse(error: OSError) -> None:
    raise UserError(
        f"{error.filename}: cannot list the folder ({error.strerror}); give yourself the right to read"
    ) from None
