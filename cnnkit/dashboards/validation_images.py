"""The validation images, looked up by their places."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor

from cnnkit.data import ImageDataModule
from cnnkit.reporting.grids import stretched, to_images


def validation_images(trainer: L.Trainer, places: Sequence[int]) -> Tensor | None:
    """Validation images (n, C, H, W) as a net gets them, on the device; also where the task trains on features alone.

    Args:
        trainer: whose data; with a foreign data module the validation loader's ``dataset`` has the images.
        places: in the order of the validation.

    Returns:
        The images; None if there are no places, or no way to look them up.
    """
    if not len(places):
        return None
    data, device = getattr(trainer, "datamodule", None), trainer.strategy.root_device
    if isinstance(data, ImageDataModule) and data.store is not None:
        images = data.store.train_images
        chosen = data.val_indices[torch.as_tensor(places, dtype=torch.int64)].to(images.device)
        found: Tensor = data.augmentation.normalize(images.index_select(0, chosen).to(device))
        return found
    dataset: Any = getattr(trainer.val_dataloaders, "dataset", None)
    if trainer.world_size > 1 or not hasattr(dataset, "__getitem__"):
        return None  # a distributed sampler has another order
    items = [dataset[int(place)] for place in places]
    tensors = [item[0] for item in items if isinstance(item, (tuple, list))]
    whole = len(tensors) == len(items) > 0 and all(torch.is_tensor(tensor) and tensor.ndim == 3 for tensor in tensors)
    return torch.stack(tensors).to(device) if whole else None


def first_places(trainer: L.Trainer, count: int) -> range:
    """The places of the first validation images, at most ``count``."""
    data = getattr(trainer, "datamodule", None)
    there = len(data.val_indices) if isinstance(data, ImageDataModule) else None
    if there is None:
        dataset = getattr(trainer.val_dataloaders, "dataset", ())
        there = len(dataset) if hasattr(dataset, "__len__") else 0
    return range(min(count, there))


def first_labels(trainer: L.Trainer, count: int) -> list[list[int]]:
    """The classes of the first validation images."""
    data: Any = getattr(trainer, "datamodule", None)
    if isinstance(data, ImageDataModule) and data.store is not None:
        labels = data.store.train_labels
        chosen = labels[data.val_indices[:count].to(labels.device)]
        if chosen.ndim == 2:
            return [row.nonzero().flatten().tolist() for row in chosen]
        return [[int(label)] for label in chosen.tolist()]
    dataset: Any = getattr(trainer.val_dataloaders, "dataset", None)
    return [[int(dataset[place][1])] for place in range(count)]


def to_pictures(trainer: L.Trainer, images: Tensor) -> Tensor:
    """Images (B, C, H, W) as a net gets them, as uint8; stretched to full range where mean and std are not known."""
    data: Any = getattr(trainer, "datamodule", None)
    known = hasattr(data, "mean") and hasattr(data, "std")
    return (to_images(images, data.mean, data.std) if known else stretched(images)).cpu()
