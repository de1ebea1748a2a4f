"""Tells a user's own code from that of cnnkit and of libraries, and says where a module of theirs fails."""

import sysconfig
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cnnkit
from cnnkit.cli.errors.library_errors import shorten_error

_PACKAGE, _STANDARD = Path(cnnkit.__file__).parent, Path(sysconfig.get_path("stdlib"))


def passes_own_code(error: BaseException) -> bool:
    """Whether an error was raised in, or below, code that is neither cnnkit's nor a library's."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(is_own_code(Path(file)) for file in files if not file.startswith("<"))


def is_own_code(file: Path) -> bool:
    """Whether a file is neither cnnkit's nor a library's."""
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return not (installed or file.is_relative_to(_PACKAGE) or file.is_relative_to(_STANDARD))


def find_fault(module: str) -> str:
    """Import a module; file, line and error if that fails, nothing if it succeeds or there is no such module."""
    try:
        if module and find_spec(module) is not None:
            import_module(module)
    except ModuleNotFoundError as error:
        # A missing parent of the module itself is for the one who wrote the key; a missing import is the file's.
        return "" if error.name and (module == error.name or module.startswith(f"{error.name}.")) else _describe(error)
    except (Exception, SystemExit) as error:
        return _describe(error)
    return ""


def _describe(error: BaseException) -> str:
    """File and line where the user's own code failed, and the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_brief(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [place for place in frames if not place[0].startswith("<") and is_own_code(Path(place[0]))]
    where = f"{_brief(own[-1][0])}, line {own[-1][1]}: " if own else ""
    if isinstance(error, SystemExit):
        return f"{where}it ends the program while it is imported; put that under `if __name__ == '__main__':`"
    return f"{where}{type(error).__name__}: {shorten_error(error)}"


def _brief(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
