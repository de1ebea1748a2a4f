"""Images on disk to batches on the device."""

from cnnkit.data.batches import Batch, Batches
from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.datasets import CIFAR10, MNIST, FashionMNIST, FashionMNISTSample
from cnnkit.data.folder import ImageFolder
from cnnkit.data.tables.arrays import from_arrays
from cnnkit.data.tables.data_module import ImageTable

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
    "from_arrays",
]
