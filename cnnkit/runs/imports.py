"""The files that code depends on: its imports and their imports, read from the text of the files.

Nothing is run. Imports within functions count too. For a package of cnnkit that only re-exports names, only the used
names count, so that a study of one net does not depend on the other nets.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class ImportedName(NamedTuple):
    """A name that is imported from a module."""

    module: str
    name: str | None = None  # None: the whole module
    used: frozenset[str] | None = None  # the names used of a module; None: unknown


def collect_files(roots: Iterable[ImportedName], counts: Callable[[str, Path], bool]) -> list[Path]:
    """The files that these names come from, and all files that those import, sorted.

    Args:
        roots: where to start.
        counts: whether a module counts, by its name and file; if not, its own imports are not followed.
    """
    waiting, seen, found = list(roots), set(), set()
    counted: dict[str, bool] = {}  # most modules are imported many times
    while waiting:
        taken = waiting.pop()
        if taken in seen or (file := locate(taken.module)) is None:
            continue
        seen.add(taken)
        if taken.module not in counted:
            counted[taken.module] = counts(taken.module, file)
        if not counted[taken.module]:
            continue
        facts = read_imports(file, taken.module)
        if (further := _follow_reexport(taken, facts)) is not None:
            waiting += further
            continue
        found.add(file)
        if not (facts.only_reexports and taken.name is not None):  # a package's own constant stands alone
            waiting += facts.takes
    return sorted(found)


def _follow_reexport(taken: ImportedName, facts: "Imports") -> list[ImportedName] | None:
    """Where the name comes from; None: this file defines it."""
    if taken.name is None:
        if taken.used is None or not facts.only_reexports:
            return None
        return [ImportedName(taken.module, name) for name in taken.used]
    if facts.is_package and locate(f"{taken.module}.{taken.name}") is not None:
        return [ImportedName(f"{taken.module}.{taken.name}", None, taken.used)]
    if facts.only_reexports and taken.name in facts.binds:
        return [facts.binds[taken.name]]
    return None


@cache
def locate(module: str) -> Path | None:
    """The file of a module, found without an import of it or its packages; None if there is no Python file."""
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    file, places = spec.origin, [Path(p) for p in spec.submodule_search_locations or ()]
    for part in below:
        package = next((p / part / "__init__.py" for p in places if (p / part / "__init__.py").is_file()), None)
        plain = next((p / f"{part}.py" for p in places if (p / f"{part}.py").is_file()), None)
        bare = [p / part for p in places if (p / part).is_dir()] if package is None and plain is None else []
        if package is None and plain is None and not bare:
            return None
        file = str(package or plain or "")
        places = [package.parent] if package else bare
    return Path(file).resolve() if file and file.endswith(".py") else None


class Imports(NamedTuple):
    """What one file imports."""

    is_package: bool
    only_reexports: bool  # a package that does nothing but import
    binds: dict[str, ImportedName]  # by local name
    takes: tuple[ImportedName, ...]


def read_imports(file: Path, module: str) -> Imports:
    """Read a file's imports; a file that is no Python has none."""
    stamp = file.stat()
    return _read(file, module, stamp.st_mtime_ns, stamp.st_size)


@cache
def _read(file: Path, module: str, changed: int, size: int) -> Imports:
    is_package = file.name == "__init__.py"
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return Imports(is_package, False, {}, ())
    above = module if is_package else module.rpartition(".")[0]
    nodes = list(ast.walk(tree))
    found = [each for node in nodes for each in _imported(node, above)]
    uses = _uses(nodes)
    takes = tuple(taken._replace(used=uses.get(bound, frozenset())) for bound, taken in found)
    binds = {bound: taken for bound, taken in found if taken.name is not None}
    ours = is_package and module.partition(".")[0] == "cnnkit"  # other packages may patch things at import
    return Imports(is_package, ours and all(map(_is_reexport, tree.body)), binds, takes)


def _imported(node: ast.AST, above: str) -> Iterator[tuple[str, ImportedName]]:
    """What a statement imports, by local name."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name, ImportedName(alias.name)) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        for _ in range(node.level - 1):
            above = above.rpartition(".")[0]
        source = ".".join(part for part in (above if node.level else "", node.module) if part)
        for alias in node.names:
            name = None if alias.name == "*" else alias.name
            yield alias.asname or alias.name, ImportedName(source, name)


def _uses(nodes: list[ast.AST]) -> dict[str, frozenset[str] | None]:
    """The attributes that are used of every dotted name; None where the name itself is a value."""
    found: dict[str, set[str] | None] = {}
    within: set[int] = set()
    for node in nodes:
        dotted = _dotted(node)
        if isinstance(node, ast.Attribute) and (of := _dotted(node.value)):
            within.add(id(node.value))
            if (names := found.setdefault(of, set())) is not None:
                names.add(node.attr)
        elif isinstance(node, ast.Name) and dotted and id(node) not in within:
            found[dotted] = None
    return {name: None if used is None else frozenset(used) for name, used in found.items()}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    of = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{of}.{node.attr}" if of and isinstance(node, ast.Attribute) else ""


def _is_reexport(node: ast.stmt) -> bool:
    """Whether a statement of a package does nothing that a run's numbers could depend on."""
    if isinstance(node, ast.If):  # TYPE_CHECKING
        return all(map(_is_reexport, node.body)) and not node.orelse
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    if isinstance(node, ast.Assign | ast.AnnAssign):
        calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
        return all(isinstance(func, ast.Attribute) and func.attr == "items" for func in calls)
    return isinstance(node, ast.Import | ast.ImportFrom) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def is_own(file: Path) -> bool:
    """Whether a file is the user's and not a library's: below the working folder, or on a path of their own."""
    if "site-packages" in file.parts or "dist-packages" in file.parts:
        return False
    if file.is_relative_to(Path.cwd().resolve()):
        return True
    return not any(file.is_relative_to(Path(place).resolve()) for place in (sys.prefix, sys.base_prefix))
