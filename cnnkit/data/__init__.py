"""Images on disk to batches on the device."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.data.batches import Batch, Batches
    from cnnkit.data.datamodules import ImageDataModule
    from cnnkit.data.datasets import CIFAR10, MNIST, FashionMNIST, FashionMNISTSample
    from cnnkit.data.folder import ImageFolder
    from cnnkit.data.tables.arrays import from_arrays
    from cnnkit.data.tables.data_module import ImageTable
    from cnnkit.data.tables.held import find_arrays

# Imported at first use: the modules that read image files need no Lightning.
_NAMES = {
    "batches": ("Batch", "Batches"),
    "datamodules": ("ImageDataModule",),
    "datasets": ("CIFAR10", "MNIST", "FashionMNIST", "FashionMNISTSample"),
    "folder": ("ImageFolder",),
    "tables.arrays": ("from_arrays",),
    "tables.data_module": ("ImageTable",),
    "tables.held": ("find_arrays",),
}
_MODULES = {name: f"cnnkit.data.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "CIFAR10",
    "MNIST",
    "Batch",
    "Batches",
    "FashionMNIST",
    "FashionMNISTSample",
    "ImageDataModule",
    "ImageFolder",
    "ImageTable",
    "find_arrays",
    "from_arrays",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
