"""What a data module is: in plain values for a manifest and a checkpoint, and as a table of images for a notebook."""

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cnnkit.data.images.formats import MAX_PIXELS
from cnnkit.data.splits import hash_indices
from cnnkit.randomness import Counter

if TYPE_CHECKING:
    from cnnkit.data.datamodules import ImageDataModule

CLASSES, COLUMNS = 20, 10  # shown
_SIDE = 48  # pixels of a shown image's longer side; a browser scales smaller ones
_LARGEST = 96  # pixels that are sent, for screens with two a point


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


def draw_html(data: "ImageDataModule") -> str:
    """Return a table of the classes: how many images each part has, and some training images.

    Args:
        data: one that is not set up gets a line of text, because to open it may take a download.
    """
    if data.store is None:
        return f"<pre>{escape(describe_counts(data))}: data.setup() opens it</pre>"
    parts = {
        "train": data.store.train_labels[data.train_indices],
        "val": data.store.train_labels[data.val_indices],
        "test": data.store.test_labels,
    }
    counts = [count_images(labels, data.num_classes) for labels in parts.values()]
    head = "".join(f"<th>{name}</th>" for name in ("class", *parts, "training images"))
    rows = [
        f"<tr><td>{escape(str(name))}</td>{''.join(f'<td>{part[k]:,}</td>' for part in counts)}"
        f"<td>{_draw_row(images, str(name))}</td></tr>"
        for k, (name, images) in enumerate(sample_classes(data, CLASSES, COLUMNS))
    ]
    left = data.num_classes - len(rows)
    more = f"<p>and {left} more classes</p>" if left > 0 else ""
    return f"<p>{escape(describe_counts(data))}</p><table><tr>{head}</tr>{''.join(rows)}</table>{more}"


def sample_classes(data: "ImageDataModule", classes: int, count: int) -> Iterator[tuple[str, Tensor]]:
    """Yield the names of the first classes with some training images of each, uint8 (B, C, H, W).

    Args:
        data: set up; the run's seed chooses the images.
        classes: how many at most.
        count: of images at most.
    """
    assert data.store is not None
    mixed = data.train_indices[Counter(data.run_seed, 0, data.train_indices).bits().argsort()]
    labels = data.store.train_labels[mixed]
    for label, name in enumerate(data.class_names[:classes]):
        yield name, data.store.train_images.index_select(0, mixed[find_label(labels, label)][:count])


def find_label(labels: Tensor, label: int) -> Tensor:
    """Return which images have a class, bool (N,); labels are (N,), or (N, K) of several each."""
    return labels[:, label] > 0 if labels.ndim == 2 else labels == label


def count_images(labels: Tensor, classes: int) -> list[int]:
    """Count the images of each class, given their labels (N,) or, if they have several, (N, K)."""
    return (labels.sum(0).long() if labels.ndim == 2 else labels.bincount(minlength=classes)).tolist()


def _draw_row(images: Tensor, name: str) -> str:
    """Draw images side by side, as an HTML element."""
    if not len(images):
        return ""
    height, width = images.shape[2:]
    if max(height, width) > _LARGEST:
        size = [max(1, round(_LARGEST / max(height, width) * side)) for side in (height, width)]
        images = F.interpolate(images.float(), size, mode="bilinear", antialias=True).round().clamp(0, 255).byte()
    row = torch.cat([F.pad(image, (0, 1), value=255) for image in images], -1).expand(3, -1, -1)
    file = io.BytesIO()
    Image.fromarray(row.permute(1, 2, 0).contiguous().numpy()).save(file, "png", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    shown = max(1, round(_SIDE / max(height, width) * height))
    style = f"height:{shown}px;image-rendering:pixelated"
    return f'<img style="{style}" alt="training images of {escape(name)}" src="data:image/png;base64,{data}">'
