"""The private names of other libraries that cnnkit uses: each with the reason, and nowhere else.

A library may rename them in any release. `tests/test_upstream.py` then fails with the reason, before a user meets it.
"""

import importlib
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
