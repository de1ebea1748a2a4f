"""The LightningModules."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.tasks.auxiliary import AuxiliaryLossTask
    from cnnkit.tasks.classification import ClassificationTask
    from cnnkit.tasks.transfer import TransferTask

# Imported at first use: what a task does with a net in prediction needs no Lightning.
_MODULES = {
    "AuxiliaryLossTask": "cnnkit.tasks.auxiliary",
    "ClassificationTask": "cnnkit.tasks.classification",
    "TransferTask": "cnnkit.tasks.transfer",
}

__all__ = ["AuxiliaryLossTask", "ClassificationTask", "TransferTask"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
