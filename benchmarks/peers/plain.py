"""What the peers on plain torch share: the net, the images as a tutorial's data set, and the validation."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset


def make_net() -> nn.Sequential:
    """The lecture's CNN of 716,706 parameters: the layers of cnnkit's default net."""
    return nn.Sequential(
        *(nn.Conv2d(1, 64, 3), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(3200, 200), nn.ReLU(), nn.Linear(200, 10)),
    )


def load(folder: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (N, 28, 28), and labels, int64 (N,), of ``train`` or ``val``."""
    return np.load(Path(folder, f"{part}_images.npy")), np.load(Path(folder, f"{part}_labels.npy"))


class PictureDataset(Dataset):
    """PIL images one by one, as torchvision's FashionMNIST gives them."""

    def __init__(self, folder: str, part: str, transform: Callable[[Any], Any] | None = None) -> None:
        self.images, self.labels = load(folder, part)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.images[index])
        return self.transform(image) if self.transform else image, int(self.labels[index])


def accuracy(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of correct answers."""
    net.eval()
    right = total = 0
    with torch.inference_mode():
        for images, labels in batches:
            right += int((net(images).argmax(1) == labels).sum())
            total += len(labels)
    net.train()
    return right / total
