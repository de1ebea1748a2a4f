"""Reads exceptions of libraries and of a user's own code: where they were raised, and in short what they say."""

import re
import sysconfig
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cnnkit

_PACKAGE, _STANDARD = Path(cnnkit.__file__).parent, Path(sysconfig.get_path("stdlib"))


def shorten_error(error: BaseException) -> str:
    """Return an error's text without markup and without advice for programmers, in at most 240 characters."""
    if isinstance(error, NotImplementedError) and not str(error):
        return "a base class, which does nothing by itself; name a class that is made from it"
    if missing := re.search(r"Requirement '([\w.-]+)[^']*' not met|No module named '([\w.]+)'", str(error)):
        return f"needs {missing[1] or missing[2]}, which is not installed"
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"\bpl\.|\blightning(\.\w+)+\.", "", text)
    text = re.sub(r"\b[A-Z]\w+\((\w+=[^()]*)\)", r"\1", text).replace("`", "")
    short, *sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)
    for sentence in sentences:
        if len(short) + len(sentence) < 200:
            short += f" {sentence}"
    return (short if len(short) <= 240 else short[:237] + "...").removesuffix(".")


def passes_own_code(error: BaseException) -> bool:
    """Whether an error was raised in, or below, code that is neither cnnkit's nor a library's."""
    return bool(_list_own_lines(error))


def _list_own_lines(error: BaseException) -> list[tuple[str, int]]:
    """File and line of every frame that is in the user's own code, the innermost last."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return [(file, line) for file, line in lines if not file.startswith("<") and _is_own(Path(file))]


def _is_own(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return not (installed or file.is_relative_to(_PACKAGE) or file.is_relative_to(_STANDARD))


def find_fault(module: str) -> str:
    """Import a module; file, line and error if that fails, nothing if it succeeds or there is no such module."""
    try:
        if module and find_spec(module) is not None:
            import_module(module)
    except ModuleNotFoundError as error:
        # A missing parent of the module itself is for the one who wrote the key; a missing import is the file's.
        return (
            ""
            if error.name and (module == error.name or module.startswith(f"{error.name}."))
            else describe_fault(error)
        )
    except (Exception, SystemExit) as error:
        return describe_fault(error)
    return ""


def describe_fault(error: BaseException) -> str:
    """Describe an error with file and line, where it passed the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shorten_path(error.filename)}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    own = _list_own_lines(error)
    where = f"{_shorten_path(own[-1][0])}, line {own[-1][1]}: " if own else ""
    if isinstance(error, SystemExit):
        return f"{where}it ends the program while it is imported; put that under `if __name__ == '__main__':`"
    return f"{where}{type(error).__name__}: {shorten_error(error)}"


def _shorten_path(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
