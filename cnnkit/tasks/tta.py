"""Test-time augmentation: logits averaged over several views of each image (Krizhevsky et al. 2012, section 4.1)."""

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

TTA = Literal["none", "flip", "flip_shift", "five_crop"]


def average_views(forward: Callable[[Tensor], Tensor], images: Tensor, kind: TTA) -> Tensor:
    """Return logits (B, K), float32, averaged over views of the images.

    Args:
        forward: maps images (B, C, H, W) to logits (B, K).
        images: (B, C, H, W), normalized.
        kind: ``flip``: the image and its mirror image. ``flip_shift``: both with weight 1/4 each, and both shifted by
            one pixel up and left, or down and right, with weight 1/8 each (Jordan 2024, arXiv 2404.00498, section 3.5).
            ``five_crop``: both unshifted, and shifted by an eighth of the size into each corner, all with equal weight.
            ``none``: the image alone. Shifted images are filled by reflection; a side of one pixel is not shifted.

    Example:
        >>> image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> average_views(lambda x: x[:, 0, 0], image, "flip")
        tensor([[1.5000, 1.5000]])
    """
    total = torch.zeros(())
    for weight, view in _list_views(images, kind):
        total = total.to(images.device) + weight * forward(view).float()
    return total


def _list_views(images: Tensor, kind: TTA) -> Iterator[tuple[float, Tensor]]:
    """Yield weights, which sum to 1, and views, one at a time so that only one is in memory."""
    if kind == "none":
        yield 1.0, images
        return
    height, width = images.shape[2:]
    most = (1, 1) if kind == "flip_shift" else (max(1, height // 8), max(1, width // 8))
    down, right = min(most[0], height - 1), min(most[1], width - 1)  # the most that reflection can fill
    corners = {"flip": [], "flip_shift": [(0, 0), (2, 2)], "five_crop": [(0, 0), (0, 2), (2, 0), (2, 2)]}[kind]
    shifted = 0.5 if kind == "flip_shift" else len(corners) / (len(corners) + 1)
    yield from _mirror(images, 1 - shifted)
    if corners:
        padded = F.pad(images, (right, right, down, down), mode="reflect")
        for row, column in corners:
            crop = padded[:, :, row * down : row * down + height, column * right : column * right + width]
            yield from _mirror(crop, shifted / len(corners))


def _mirror(images: Tensor, weight: float) -> Iterator[tuple[float, Tensor]]:
    yield weight / 2, images
    yield weight / 2, images.flip(3)
