"""Images on disk to batches on the device."""

from cnnkit.data.batches import Batch, Batches
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.datasets import CIFAR10, MNIST, FashionMNIST, FashionMNISTSample
from cnnkit.data.folder import ImageFolder

__all__ = [
    "CIFAR10",
    "MNIST",
    "Batch",
    "Batches",
    "FashionMNIST",
    "FashionMNISTSample",
    "ImageDataModule",
    "ImageFolder",
]
