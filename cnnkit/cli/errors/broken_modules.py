"""A module of the user's own that ends with an error when it is imported: which key names it, and where it fails."""

import traceback
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cnnkit.cli.errors.plain_words import plain_words
from cnnkit.cli.parsing.classes import takes_text
from cnnkit.cli.parsing.configuration import OWNERS, Configuration, arguments_in
from cnnkit.cli.parsing.construction import is_own_code
from cnnkit.errors import UserError
from cnnkit.scalars import PlainScalar


def refuse_broken_modules(given: Configuration) -> None:
    """Name the key of a class whose module fails; to be called when a configuration could not be read.

    Args:
        given: what was given. Only values that stand where a class is due are imported: a name of a run or a file may
            look like a module, and importing it would run it.

    Raises:
        UserError: with key, file and line of the fault, and what Python says of it.
    """
    for key, name in _named_classes(given.tree):
        if fault := find_fault(name.rpartition(".")[0]):
            raise UserError(f"{given.origin.where(key)}{key}: {name} cannot be imported: {fault}")


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
    return f"{where}{type(error).__name__}: {plain_words(error)}"


def _brief(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _named_classes(node: Any, key: str = "", owner: str = "") -> Iterator[tuple[str, str]]:
    """Keys and dotted names of all classes in a tree of what was given."""
    if isinstance(node, list):
        for part in node:
            yield from _named_classes(part, key, owner)
    if isinstance(node, str) and "." in node and not isinstance(node, PlainScalar):
        yield key, node
    if not isinstance(node, dict):
        return
    path = node.get("class_path")
    if isinstance(path, str) and "." in path:
        yield key, path
    kind = str(path or OWNERS.get(key, ""))
    for name, part in arguments_in(node).items():
        if isinstance(part, (dict, list)) or (key and not takes_text(kind, name.removesuffix("+"))):
            yield from _named_classes(part, f"{key}.{name}".strip(".").removesuffix("+"), kind)
        elif not key and name in ("model", "data"):  # at the top stand names and files, too
            yield from _named_classes(part, name)
