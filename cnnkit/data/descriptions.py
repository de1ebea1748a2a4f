"""What a manifest and a checkpoint keep of a data module, in plain values."""

from typing import TYPE_CHECKING, Any

from cnnkit.data.images.formats import MAX_PIXELS
from cnnkit.data.splits import hash_indices
from cnnkit.data.store import Store

if TYPE_CHECKING:
    from cnnkit.data.datamodules import ImageDataModule


def describe_data(data: "ImageDataModule", store: Store) -> dict[str, Any]:
    """Describe for a manifest which images a run uses: hashes, counts, split, augmentation."""
    return {
        "name": type(data).__name__,
        "fingerprint": store.fingerprint,
        "split": hash_indices(data.train_indices, data.val_indices),
        "train_images": len(data.train_indices),
        "val_images": len(data.val_indices),
        "test_images": len(store.test_labels),
        "split_seed": data.split_seed,
        "seed": data.run_seed,
        "augment": [repr(transform) for transform in data.augmentation.transforms],
    }


def describe_counts(data: "ImageDataModule") -> str:
    """Describe how many images each part has, as ``print(data)`` shows it."""
    name = type(data).__name__
    if data.store is None:
        return f"{name}, not set up"
    counts = len(data.train_indices), len(data.val_indices), len(data.store.test_labels)
    return "{}: {:,} train, {:,} val, {:,} test".format(name, *counts)


def describe_preprocessing(data: "ImageDataModule") -> dict[str, Any]:
    """Describe for a checkpoint how images become inputs of the net."""
    return {
        "class_names": [str(name) for name in data.class_names],
        "in_channels": int(data.in_channels),
        "image_size": data.image_size if isinstance(data.image_size, int) else list(data.image_size),
        "mean": [float(value) for value in data.mean],
        "std": [float(value) for value in data.std],
        "resize": str(getattr(data, "resize", "crop")),
        "max_pixels": int(getattr(data, "max_pixels", MAX_PIXELS)),
        "multilabel": bool(data.multilabel),
    }
