"""The private names of other libraries that cnnkit uses: each with the reason, and nowhere else.

A library may rename them in any release. `tests/test_upstream.py` then fails with the reason, before a user meets it.
"""

import importlib
from collections.abc import Callable
from typing import Any

# name -> why no public name serves, and the newest version that it was seen to work with
PRIVATE: dict[str, str] = {
    "torch.utils._python_dispatch.TorchDispatchMode": (
        "it sees every operation that a net executes; torch documents it for extensions (torch 2.15)"
    ),
    "torch.utils.data.dataloader._MultiProcessingDataLoaderIter._shutdown_workers": (
        "a DataLoader has no public end, and the garbage collector ends its workers only after a timeout (torch 2.15)"
    ),
    "lightning.pytorch.Trainer._results": (
        "what an epoch's end has logged is public only after the checkpoints are saved (lightning 2.6.6)"
    ),
    "lightning.pytorch.core.mixins.hparams_mixin._given_hyperparameters_context": (
        "a checkpoint must hold the plain values of the configuration, and a task calls save_hyperparameters while it "
        "is built, when it only sees objects (lightning 2.6.6)"
    ),
    "jsonargparse._common.parsing_settings": (
        "set_parsing_settings can add to what may not be imported, but not take it back after a checkpoint is loaded "
        "(jsonargparse 4.53)"
    ),
    "jsonargparse._typehints.union_subtype_sort_key": (
        "it decides in which order the types of a union are tried, and `read_integers_first` adds to it "
        "(jsonargparse 4.53)"
    ),
}


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


def read_integers_first() -> None:
    """Let jsonargparse try `int` before `float` in every union.

    It tries them as the union has them, and `typing` caches unions and takes ``float | int`` and ``int | float`` for
    equal. So the order depends on what the process imported first. Where float came first, ``limit_train_batches: 1``
    was read as 1.0, and that means all batches instead of one.
    """
    rank = private("jsonargparse._typehints.union_subtype_sort_key")
    if rank is not _rank_after:
        _RANKS.append(rank)
        importlib.import_module("jsonargparse._typehints").union_subtype_sort_key = _rank_after  # type: ignore[attr-defined]


_RANKS: list[Callable[[Any], float]] = []


def _rank_after(kind: Any) -> float:
    return 0.5 if kind is float else _RANKS[0](kind)
