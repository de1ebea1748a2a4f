"""Tells the code of a user from that of cnnkit and of libraries."""

import sysconfig
import traceback
from pathlib import Path

import cnnkit

_PACKAGE, _STANDARD = Path(cnnkit.__file__).parent, Path(sysconfig.get_path("stdlib"))


def passes_own_code(error: BaseException) -> bool:
    """Whether an error was raised in, or below, code that is neither cnnkit's nor a library's."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(is_own_code(Path(file)) for file in files if not file.startswith("<"))


def is_own_code(file: Path) -> bool:
    """Whether a file is neither cnnkit's nor a library's."""
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return not (installed or file.is_relative_to(_PACKAGE) or file.is_relative_to(_STANDARD))
