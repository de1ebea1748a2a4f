"""Image files and folders named on the command line."""

import sys
from collections.abc import Sequence
from pathlib import Path

from cnnkit.data.images.formats import COMMON_FORMATS
from cnnkit.data.images.listing import describe_passed_over, scan_images
from cnnkit.errors import UserError
from cnnkit.notices import printable


def list_images(paths: Sequence[str]) -> list[Path]:
    """The image files that are named, or in folders that are named, each once; says what is passed over.

    Raises:
        UserError: for a path that is not there, or if there is no image.
    """
    found: dict[Path, None] = {}
    lines = []
    for path in paths:
        scanned = scan_images(path)
        if twice := sum(file in found for file in scanned.files):
            lines.append(f"{path}: {twice:,} named before, and done once")
        found |= dict.fromkeys(scanned.files)
        if line := describe_passed_over(scanned.passed_over, path):
            lines.append(line)
    if paths and not found:
        raise UserError(
            f"{', '.join(paths)}: no image in it ({COMMON_FORMATS})" + "".join(f"; {line}" for line in lines[:1])
        )
    for line in lines:
        print(f"cnnkit: {printable(line)}", file=sys.stderr)
    return list(found)
