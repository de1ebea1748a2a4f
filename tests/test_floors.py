"""The house's floors: imports go down only, and what lies below works without Lightning."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnkit

PACKAGE = Path(cnnkit.__file__).parent
# Each part may import those of lower floors, of its own floor only itself and errors; all may use those of 0.
FLOORS = {
    **dict.fromkeys(("errors", "files", "allocator", "metric_names", "randomness", "notices"), 0),
    **dict.fromkeys(("shell", "suggest", "threads", "upstream", "sizes", "recorded", "__init__"), 0),
    **dict.fromkeys(("layers", "transforms", "metrics", "optim", "precision", "config_files"), 1),
    "runs": 2,
    **dict.fromkeys(("weights", "stats", "loggers"), 3),
    **dict.fromkeys(("models", "data", "reporting"), 4),
    "inspection": 5,
    **dict.fromkeys(("tasks", "callbacks", "classroom"), 6),
    **dict.fromkeys(("dashboards", "inference"), 7),
    **dict.fromkeys(("study", "distillation", "export"), 8),
    "cli": 9,
    "__main__": 10,
}
WITH_LIGHTNING = (
    "tasks",
    "callbacks",
    "dashboards",
    "data",
    "loggers",
    "inference",
    "distillation",
    "cli",
    "__main__",
    "__init__",
)
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "cnnkit":
                yield from (f"cnnkit.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def test_every_part_has_a_floor() -> None:
    assert {part_of(file) for file in FILES} <= FLOORS.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down_only(file: Path) -> None:
    here = part_of(file)
    if here == "__init__":  # hands out names lazily
        return
    for name in imports(file):
        top, _, rest = name.partition(".")
        if top == "cnnkit":
            there = rest.split(".")[0]
            there = there if there in FLOORS else "__init__"  # such as __version__
            assert there in (here, "errors") or FLOORS[there] < FLOORS[here], f"{name} is no lower floor"
            assert not (here == "tasks" and there in ("models", "data")), "a task gets its net and data from outside"
        if here not in WITH_LIGHTNING:
            assert top not in ("lightning", "pytorch_lightning"), f"{here} works without Lightning"
