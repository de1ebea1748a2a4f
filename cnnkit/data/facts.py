"""What is known of the images of a data module, in plain values for nets, manifests and checkpoints."""

from typing import Any, TypedDict

from torch import Tensor

from cnnkit.data.images.decode import MAX_PIXELS
from cnnkit.data.splits import fingerprint
from cnnkit.data.store import Store


class Shape(TypedDict):
    """What a net must know of the data: ``CNN(**data.shape)``."""

    in_channels: int
    num_classes: int
    image_size: int | tuple[int, int]


def facts_of_split(store: Store, train: Tensor, val: Tensor) -> dict[str, Any]:
    """Hashes and counts of the images and of their parts.

    Args:
        store: the images.
        train: indices of the training images.
        val: indices of the validation images.
    """
    return {
        "fingerprint": store.fingerprint,
        "split": fingerprint(train, val),
        "train_images": len(train),
        "val_images": len(val),
        "test_images": len(store.test_labels),
    }


def preprocessing_of(data: Any) -> dict[str, Any]:
    """How a data module brings images to a net."""
    size = data.image_size
    return {
        "class_names": [str(name) for name in data.class_names],
        "in_channels": int(data.in_channels),
        "image_size": size if isinstance(size, int) else list(size),
        "mean": [float(value) for value in data.mean],
        "std": [float(value) for value in data.std],
        "resize": str(getattr(data, "resize", "crop")),
        "max_pixels": int(getattr(data, "max_pixels", MAX_PIXELS)),
    }
