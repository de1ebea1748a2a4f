"""The classes that a checkpoint may have imported; see `cnnkit.inference.task_loading`."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from jsonargparse import set_parsing_settings

import cnnkit
from cnnkit.upstream import private

OURS = ("models", "layers", "tasks", "optim", "distillation")
TRUSTED = (
    *(f"cnnkit.{part}" for part in OURS),
    *(f"cnnkit.{name}" for name in cnnkit.__all__ if name[0].isupper()),
    *("torch.nn", "torch.optim"),
)
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def find_paths(value: Any) -> Iterator[str]:
    """Yield all strings in nested plain values that could be import paths."""
    if isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from find_paths(part)
    elif isinstance(value, str) and DOTTED.fullmatch(value):
        yield value


@contextlib.contextmanager
def allow_imports(names: Sequence[str] = ()) -> Iterator[None]:
    """Let jsonargparse import only these names, and those of `TRUSTED`, within the context."""
    settings = private("jsonargparse._common.parsing_settings")
    before = dict(settings)
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*TRUSTED, *names])
    try:
        yield
    finally:
        settings.update(before)


def add_definitions(names: set[str]) -> list[str]:
    """Import the names, and add to each the path where its object is defined."""
    found = set(names)
    for name in names:
        module, _, last = name.rpartition(".")
        # It may be no import path, or its error is raised when it is needed.
        with contextlib.suppress(Exception, SystemExit):
            there = getattr(import_module(module), last)
            found.add(f"{there.__module__}.{there.__qualname__}")
    return sorted(name for name in found if DOTTED.fullmatch(name) and not name.startswith("jsonargparse"))
