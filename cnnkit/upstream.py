"""The private names of other libraries that cnnkit uses: each with the reason, and nowhere else.

A library may rename them in any release. `tests/test_upstream.py` then fails with the reason, before a user meets it.
"""

import importlib
from typing import Any

# name -> why no public name serves, and the newest version that it was seen to work with
PRIVATE: dict[str, str] = {}


def private(name: str) -> Any:
    """Return what a private name stands for.

    Args:
        name: one of `PRIVATE`, such as ``torch.utils._python_dispatch.TorchDispatchMode``.

    Raises:
        ImportError: the library has it no more; with the reason why cnnkit needs it.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[end:]:
                found = getattr(found, part)
        except AttributeError:
            break
        return found
    raise ImportError(f"{name} is gone; cnnkit uses it because {PRIVATE[name]}")
