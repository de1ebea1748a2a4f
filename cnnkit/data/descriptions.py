"""What a data module is, in plain values: for a manifest, and for a checkpoint."""

from typing import TYPE_CHECKING, Any

from cnnkit.data.images.formats import MAX_PIXELS
from cnnkit.data.splits import hash_indices

if TYPE_CHECKING:
    from cnnkit.data.datamodules import ImageDataModule


def describe_data(data: "ImageDataModule") -> dict[str, Any]:
    """Describe the data for a manifest: hashes, counts, split; and what is not usual about them."""
    store = data.open_once()
    facts: dict[str, Any] = {
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
    if data.folds is not None:
        facts |= {"folds": data.folds, "fold": data.fold}
    if data.imbalance_ratio is not None:
        facts |= {"imbalance_ratio": data.imbalance_ratio, "class_counts": data.count_classes()}
    if data.sampling != "shuffle":
        facts |= {"sampling": data.sampling}
    if data.overfits:
        trainer: Any = data.trainer
        facts |= {"augment": [], "overfit_batches": trainer.overfit_batches}
    return facts


def describe_counts(data: "ImageDataModule") -> str:
    """Describe how many images each part has, as ``print(data)`` shows it."""
    name = type(data).__name__
    if data.store is None:
        return f"{name}, not set up"
    counts = len(data.train_indices), len(data.val_indices), len(data.store.test_labels)
    return "{}: {:,} train, {:,} val, {:,} test".format(name, *counts)


def describe_preprocessing(data: "ImageDataModule") -> dict[str, Any]:
    """Describe, for a checkpoint, how images become inputs of the net."""
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
