"""Functions that change some images of a batch, or each image in its own way out of a few."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Change = Callable[[Tensor, Tensor], Tensor]
"""Changes images (n, C, H, W), which it may overwrite, given their places in the batch, (n,) int64."""

PART_BYTES = 1 << 20
"""Images of about so many bytes in float32 are changed at a time on a CPU, for each thread, to stay in its cache."""


def count_at_once(images: Tensor, largest: int) -> int:
    """Return how many images of at most so many pixels are changed at a time, with all their channels."""
    if not selects_images(images.device):
        return max(1, len(images))
    return max(1, torch.get_num_threads() * PART_BYTES // (4 * images.shape[1] * largest))


def selects_images(device: torch.device) -> bool:
    """Whether `change_by_kind` calls a function with the images of its kind only; a GPU would wait for their number."""
    return device.type == "cpu"


def change_by_kind(images: Tensor, kind: Tensor, changes: Sequence[Change | None]) -> Tensor:
    """Change each image of a batch with one of a few functions.

    A CPU calls a function with the images of its kind only. Another device calls each with all images and selects from
    the results; see `selects_images`.

    Args:
        images: (B, C, H, W), which is not changed.
        kind: (B,) int64, the function of each image.
        changes: the functions; None returns the image as it is.

    Returns:
        (B, C, H, W), contiguous, of the dtype of the images; all functions must return it.
    """
    if selects_images(images.device):
        return _change_parts(images.contiguous(), kind, changes)
    everywhere = torch.arange(len(images), device=images.device)
    changed = images.clone(memory_format=torch.contiguous_format)
    for number, change in enumerate(changes):
        if change is not None:
            chosen = (kind == number)[:, None, None, None]
            changed = torch.where(chosen, change(images.clone(), everywhere), changed)
    return changed


def _change_parts(images: Tensor, kind: Tensor, changes: Sequence[Change | None]) -> Tensor:
    # Sorted by kind, the images of a part lie side by side; on a CPU, copying them to their places is slow.
    order = kind.argsort(stable=True)
    changed = images.index_select(0, order)
    size = count_at_once(images, math.prod(images.shape[2:]))
    stop = 0
    for change, count in zip(changes, torch.bincount(kind, minlength=len(changes)).tolist(), strict=True):
        start, stop = stop, stop + count
        if change is None:
            continue
        for first in range(start, stop, size):
            part = slice(first, min(first + size, stop))
            changed[part] = change(changed[part], order[part])
    return changed.index_select(0, order.argsort())


def change_some(images: Tensor, chosen: Tensor, change: Change) -> Tensor:
    """Change those images of a batch for which ``chosen``, (B,) bool, is true; see `change_by_kind`."""
    return change_by_kind(images, chosen.long(), (None, change))
