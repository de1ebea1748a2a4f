"""Measures of the code, and a picture of its rooms: ``python -m benchmarks.house [--before REV] [--picture FILE]``.

It reads the files of `cnnkit/` as text and imports nothing of them, so that it measures any revision.
"""

import argparse
import ast
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED_LINES = 6
READERS = ("cnnkit", "benchmarks", "configs", "docs", "experiments", "README.md")  # a test alone is no use
NAMED_TUPLE = ("_replace", "_asdict", "_fields")  # public, though they begin with an underscore


class House:
    """The package of one checkout.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = sorted((root / "cnnkit").rglob("*.py"))
        self.text = {file: file.read_text(encoding="utf-8") for file in self.files}
        self.trees = {file: ast.parse(text) for file, text in self.text.items()}

    def measures(self, start: bool = False) -> dict[str, str]:
        """Every measure with its value as text, in the order of the table; `start` costs a short fit."""
        lines = [text.count("\n") for text in self.text.values()]
        functions = sorted(n.end_lineno - n.lineno + 1 for n in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef))
        folders = defaultdict(int)
        for file in self.files:
            folders[file.parent] += 1
        private, unused, chain = self.private_names(), self.unused_names(), self.longest_chain()
        first = self.files_before_the_first_step() if start else []
        deciles = statistics.quantiles(functions, n=10)
        return {
            "lines": f"{sum(lines):,}",
            "files": str(len(lines)),
            "longest file, lines": str(max(lines)),
            "most files in a folder": str(max(folders.values())),
            "lines of a function: median, 90 %, longest": f"{deciles[4]:.0f}, {deciles[8]:.0f}, {functions[-1]}",
            "longest chain of imports": str(len(chain)),
            "private names of other libraries": str(len({name for name, _ in private})),
            "of these outside upstream.py": str(len({name for name, file in private if file.name != "upstream.py"})),
            f"places that repeat {SHARED_LINES} or more lines": str(self.duplicates()),
            "public names without a use": str(len(unused)),
        } | ({"files of cli/ that run before the first step": str(len(first))} if start else {})

    def files_before_the_first_step(self) -> list[str]:
        """The files of `cli/` of which a function runs between the command `fit` and the first training step."""
        script, config = ROOT / "benchmarks" / "first_step.py", self.root / "configs" / "quickstart.yaml"
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                [sys.executable, "-P", script, config],
                cwd=folder,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
        found: list[str] = json.loads(ended.stdout.splitlines()[-1])
        return found

    def _nodes(self, *kinds: type) -> Iterator[ast.AST]:
        return (n for tree in self.trees.values() for n in ast.walk(tree) if isinstance(n, kinds))

    def module(self, file: Path) -> str:
        """The dotted name of a file's module."""
        parts = file.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cache  # noqa: B019  # a house lives as long as the program
    def imports(self) -> dict[str, set[str]]:
        """For each module those of the package that it imports when it is imported itself."""
        modules = {self.module(file) for file in self.files}
        found: dict[str, set[str]] = {}
        for file, tree in self.trees.items():
            names = found[self.module(file)] = set()
            for node in _at_import(tree):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif node.module:
                    names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        return {name: (names & modules) - {name} for name, names in found.items()}

    def rooms(self) -> dict[str, set[str]]:
        """For each folder or file below `cnnkit/` those that it imports, also within functions."""
        found: dict[str, set[str]] = defaultdict(set)
        for file, tree in self.trees.items():
            here = _room(self.module(file))
            found[here] |= set()
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cnnkit"):
                    names = [node.module] if node.module != "cnnkit" else [f"cnnkit.{a.name}" for a in node.names]
                    found[here] |= {_room(str(name)) for name in names}
        return {
            room: (used & found.keys()) - {room, ""} for room, used in found.items() if room not in ("", "__main__")
        }

    def longest_chain(self) -> list[str]:
        """The longest chain of modules of which each imports the next."""
        imports, chains = self.imports(), {}

        def chain(name: str, above: frozenset[str]) -> list[str]:
            if name not in chains:
                further = [chain(n, above | {name}) for n in sorted(imports[name] - above)]
                chains[name] = [name, *max(further, key=len, default=[])]
            return chains[name]

        return max((chain(name, frozenset()) for name in imports), key=len)

    def private_names(self) -> set[tuple[str, Path]]:
        """Names with a leading underscore that no code of the package defines, and the files that use them."""
        ours = {n.name for n in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)}
        ours |= {n.id for n in self._nodes(ast.Name) if isinstance(n.ctx, ast.Store)}
        ours |= {n.attr for n in self._nodes(ast.Attribute) if isinstance(n.ctx, ast.Store)}
        ours |= {file.stem for file in self.files}
        # register_buffer("_x", ...) and getattr(self, "_x") define and read names as text
        texts = {n.args[0].value for n in self._nodes(ast.Call) if _is_register(n)}
        found = set()
        for file, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in ours | texts:
                    found.add((node.attr, file))
                if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("cnnkit"):
                    parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                    found |= {(part, file) for part in parts if _is_private(part) and part != "__future__"}
                if file.name == "upstream.py" and isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict):
                    found |= {(str(getattr(key, "value", "")), file) for key in node.value.keys}
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "setattr", "hasattr"):
                    name = getattr(node.args[1], "value", "")
                    if isinstance(name, str) and _is_private(name) and name not in ours | texts:
                        found.add((name, file))
        return found

    def duplicates(self) -> int:
        """How many pairs of places share at least `SHARED_LINES` lines, but for blank ones, comments and imports."""
        places: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
        for file, text in self.text.items():
            kept = [line.strip() for line in text.splitlines()]
            kept = [line for line in kept if len(line) > 3 and not line.startswith(("#", "import ", "from ", '"""'))]
            for at in range(len(kept) - SHARED_LINES + 1):
                places[tuple(kept[at : at + SHARED_LINES])].append((file, at))
        pairs = {pair for found in places.values() for pair in itertools.combinations(found, 2)}
        begun = {pair for pair in pairs if ((pair[0][0], pair[0][1] - 1), (pair[1][0], pair[1][1] - 1)) not in pairs}
        return len(begun)

    def unused_names(self) -> list[str]:
        """Public functions, classes and methods whose names stand nowhere but where they are defined."""
        files = [self.root / name for name in READERS]
        files = [f for top in files for f in ([top] if top.is_file() else top.rglob("*")) if f.suffix in _TEXT]
        count: dict[str, int] = defaultdict(int)
        for file in files:
            for word in re.findall(r"\w+", file.read_text(encoding="utf-8", errors="replace")):
                count[word] += 1
        defined: dict[str, int] = defaultdict(int)
        hooks = {n.name for tree in self.trees.values() for n in _overriding(tree)}
        for node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
            defined[node.name] += 1
        return sorted(n for n, times in defined.items() if n[0] != "_" and n not in hooks and count[n] <= times)


_TEXT = (".py", ".md", ".yaml", ".j2")


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in NAMED_TUPLE


def _is_register(node: ast.Call) -> bool:
    method = getattr(node.func, "attr", "")
    return method in ("register_buffer", "register_parameter", "add_module") and isinstance(node.args[0], ast.Constant)


def _at_import(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported: not those in functions or under TYPE_CHECKING."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node


def _overriding(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Methods of classes with a base: a library may call them by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases:
            yield from (each for each in node.body if isinstance(each, ast.FunctionDef))


def at_revision(revision: str, folder: str) -> House:
    """The package as it was at a revision, unpacked into a folder."""
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return House(Path(folder))


def main(args: list[str] | None = None) -> None:
    """Print the measures, and draw the rooms if a file is named.

    Args:
        args: the words after the program's name; none given: ``sys.argv``.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=__doc__)
    parser.add_argument("--before", metavar="REV", help="a revision to compare with")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the rooms and their imports")
    parser.add_argument("--start", action="store_true", help="count the files of cli/ that run before the first step")
    parser.add_argument("--list", action="store_true", help="also list private names, unused names, the longest chain")
    options = parser.parse_args(args)
    house = House(ROOT)
    columns = {"now": house.measures(options.start)}
    if options.before:
        with tempfile.TemporaryDirectory() as folder:
            columns = {options.before: at_revision(options.before, folder).measures(options.start)} | columns
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name in columns["now"]:
        print(f"| {name} | {' | '.join(found[name] for found in columns.values())} |")
    if options.list:
        for name, file in sorted(house.private_names()):
            print(f"private: {name} in {file.relative_to(ROOT)}")
        print("unused:", ", ".join(house.unused_names()))
        print("chain:", " > ".join(house.longest_chain()))
    if options.picture:
        from benchmarks.house_picture import draw

        draw(house.rooms(), options.picture)


if __name__ == "__main__":
    main()
