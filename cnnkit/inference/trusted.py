"""The classes that a checkpoint may have imported; see `cnnkit.inference.task_loading`."""

import contextlib
import re
from collections.abc import Iterator, Sequence
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
