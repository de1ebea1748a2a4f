"""Data sets by name: constants, the usual augmentation, and where the arrays come from."""

from typing import Any

from cnnkit.data.datamodules import ImageDataModule
from cnnkit.data.originals.loading import note_unused_mirror
from cnnkit.data.store import SAMPLE_FOLDER, Store, open_sample, open_store
from cnnkit.transforms import AlternatingFlip, Mix, RandomAffine, RandomCrop, RandomHorizontalFlip, Transform


class MNIST(ImageDataModule):
    """70,000 handwritten digits, 28x28 gray (LeCun, Cortes, Burges 1998), 10,000 of them to test."""

    in_channels, num_classes, image_size = 1, 10, 28
    mean, std = (0.1307,), (0.3081,)

    def default_augment(self) -> list[Transform | Mix]:
        """Small rotations, shifts and scalings; no flips: a mirrored digit is no digit."""
        return [RandomAffine(degrees=10, translate=0.1, scale_low=0.9, scale_high=1.1)]

    def open(self) -> Store:
        return open_store("mnist", self.data_dir, self.mirror)


class FashionMNIST(ImageDataModule):
    """70,000 articles of clothing, 28x28 gray (Xiao, Rasul, Vollgraf 2017, MIT license), split as MNIST is."""

    in_channels, num_classes, image_size = 1, 10, 28
    mean, std = (0.2860,), (0.3530,)

    def default_augment(self) -> list[Transform | Mix]:
        """Flips, and shifts of at most two pixels."""
        return [RandomCrop(padding=2), RandomHorizontalFlip()]

    def open(self) -> Store:
        return open_store("fashion_mnist", self.data_dir, self.mirror)


class FashionMNISTSample(FashionMNIST):
    """10,000 training and 2,000 test images of Fashion-MNIST that come with the package: nothing to download.

    Drawn once, stratified, the training images from the official training set and the test images from the official
    test set. It is for first steps and for tests: results on it are not results on Fashion-MNIST.

    Args:
        val_size: number of validation images, taken from the 10,000, stratified.
        **kwargs: as for every data module; ``data_dir`` and ``mirror`` are not needed.
    """

    def __init__(self, val_size: int = 1000, **kwargs: Any) -> None:
        super().__init__(val_size=val_size, **kwargs)

    def open(self) -> Store:
        note_unused_mirror(self.mirror, self.data_dir, [SAMPLE_FOLDER / "README.md"])
        return open_sample()


class CIFAR10(ImageDataModule):
    """60,000 photographs of ten kinds of things, 32x32 color (Krizhevsky 2009): 50,000 and 10,000 to test."""

    in_channels, num_classes, image_size = 3, 10, 32
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

    def default_augment(self) -> list[Transform | Mix]:
        """Shifts of at most four pixels with reflected borders, and alternating flips (Jordan 2024)."""
        return [RandomCrop(padding=4, mode="reflect"), AlternatingFlip()]

    def open(self) -> Store:
        return open_store("cifar10", self.data_dir, self.mirror)
