"""cnnkit: experiments with convolutional neural networks, on PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cnnkit.cli.api import TrainedRun, fit
    from cnnkit.data import (
        CIFAR10,
        MNIST,
        FashionMNIST,
        FashionMNISTSample,
        ImageDataModule,
        ImageFolder,
        ImageTable,
        from_arrays,
    )
    from cnnkit.distillation import DistillationTask
    from cnnkit.export.loading import load
    from cnnkit.models import CNN, MLP, VGG, AlexNet, GoogLeNet, LeNet5, NetworkInNetwork, ResNet, SpeedNet, TimmNet
    from cnnkit.precision import default_precision
    from cnnkit.tasks import AuxiliaryLossTask, ClassificationTask, TransferTask

# Imported at first use, so that `import cnnkit` and `--help` cost no import of torch.
_NAMES = {
    "cnnkit.cli.api": ("TrainedRun", "fit"),
    "cnnkit.data": (
        "CIFAR10",
        "FashionMNIST",
        "FashionMNISTSample",
        "ImageDataModule",
        "ImageFolder",
        "ImageTable",
        "MNIST",
        "from_arrays",
    ),
    "cnnkit.distillation": ("DistillationTask",),
    "cnnkit.export.loading": ("load",),
    "cnnkit.models": (
        "CNN",
        "MLP",
        "VGG",
        "AlexNet",
        "GoogLeNet",
        "LeNet5",
        "NetworkInNetwork",
        "ResNet",
        "SpeedNet",
        "TimmNet",
    ),
    "cnnkit.precision": ("default_precision",),
    "cnnkit.tasks": ("AuxiliaryLossTask", "ClassificationTask", "TransferTask"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "CIFAR10",
    "CNN",
    "MLP",
    "MNIST",
    "VGG",
    "AlexNet",
    "AuxiliaryLossTask",
    "ClassificationTask",
    "DistillationTask",
    "FashionMNIST",
    "FashionMNISTSample",
    "GoogLeNet",
    "ImageDataModule",
    "ImageFolder",
    "ImageTable",
    "LeNet5",
    "NetworkInNetwork",
    "ResNet",
    "SpeedNet",
    "TimmNet",
    "TrainedRun",
    "TransferTask",
    "__version__",
    "default_precision",
    "fit",
    "from_arrays",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'cnnkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
