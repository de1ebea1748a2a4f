"""The number of images that an epoch uses, where the trainer's limits leave some out."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L


def count_used_images(trainer: L.Trainer, data: Any, facts: Mapping[str, Any]) -> dict[str, int]:
    """Count the images that an epoch trains on and validates on, beside those of the whole split.

    Args:
        trainer: with its limits; ``overfit_batches`` is one of them.
        data: the data module.
        facts: its own description.

    Returns:
        ``train_images`` and ``split_train_images``, ``val_images`` and ``split_val_images``, each pair only where a
        limit leaves images out.
    """
    overfit = getattr(trainer, "overfit_batches", 0)
    found: dict[str, int] = {}
    for part, size in (("train", "batch_size"), ("val", "eval_batch_size")):
        images, per_batch = facts.get(f"{part}_images"), getattr(data, size, None)
        if (part == "val" and overfit) or not isinstance(images, int) or not isinstance(per_batch, int):
            continue  # `overfit_batches` validates on the training batches
        whole = part == "train" and getattr(data, "drop_last", False)
        batches = images // per_batch if whole else math.ceil(images / per_batch)
        limit = getattr(trainer, f"limit_{part}_batches")
        used = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
        if used < batches:
            found |= {f"{part}_images": int(min(images, used * per_batch)), f"split_{part}_images": images}
    if overfit and "train_images" in found:
        found |= {"val_images": found["train_images"], "split_val_images": facts.get("val_images", 0)}
    return found
