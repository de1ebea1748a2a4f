"""An order of training images in which every class is equally frequent."""

from typing import Literal

import torch
from torch import Tensor

Sampling = Literal["shuffle", "balanced"]


def order_balanced(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw as many images as there are, equally many of each class, in random order.

    Of M images of K classes, a class gives M / K images, rounded up or down at random. A small class gives all of its
    images equally often (plus or minus one), a large one a part of them, another one for each seed. Classes without
    images are left out.

    Args:
        labels: int64 (M,), on the CPU.
        seed: names the draw.

    Returns:
        Places of images, int64 (M,), and for each how often its image was drawn before, int64 (M,).

    Example:
        >>> places, repetitions = order_balanced(torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]), seed=0)
        >>> torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])[places].bincount().tolist(), repetitions.sum().item()
        ([4, 4], 2)
    """
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.bincount(labels)
    starts, sizes = (sizes.cumsum(0) - sizes)[sizes > 0], sizes[sizes > 0]
    quotas = torch.full_like(sizes, len(labels) // len(sizes))
    quotas[torch.randperm(len(sizes), generator=generator)[: len(labels) % len(sizes)]] += 1
    turn = torch.arange(len(labels)) - (quotas.cumsum(0) - quotas).repeat_interleave(quotas)  # within the class
    size = sizes.repeat_interleave(quotas)
    places = by_class[starts.repeat_interleave(quotas) + turn % size]
    order = torch.randperm(len(labels), generator=generator)
    return places[order], (turn // size)[order]
