"""Exact mean and standard deviation of the pixels of many images, in little memory."""

from collections.abc import Iterable

import torch
from torch import Tensor


def compute_channel_statistics(batches: Iterable[Tensor]) -> tuple[list[float], list[float]]:
    """Compute the mean and standard deviation of each channel over all pixels of all images, scaled to [0, 1].

    The pixels are counted by value, so no sum is rounded.

    Args:
        batches: images uint8 (B, C, H, W).

    Returns:
        C means and C standard deviations (dividing by the number of pixels); empty lists for no images.

    Example:
        >>> compute_channel_statistics([torch.tensor([[[[0, 255]]]], dtype=torch.uint8)])
        ([0.5], [0.5])
    """
    counts: list[Tensor] = []
    for batch in batches:
        channels = batch.transpose(0, 1).flatten(1)  # (C, B * H * W)
        new = [torch.bincount(channel, minlength=256) for channel in channels]
        counts = [a + b for a, b in zip(counts, new, strict=True)] if counts else new
    values = torch.arange(256, dtype=torch.float64) / 255
    means = [float(values @ count.double() / count.sum()) for count in counts]
    variances = [float((values - m) ** 2 @ n.double() / n.sum()) for m, n in zip(means, counts, strict=True)]
    return means, [variance**0.5 for variance in variances]


def fits(mean: list[float], std: list[float], used_mean: Iterable[float], used_std: Iterable[float]) -> bool:
    """Whether images normalized with the used numbers have means within 0.1 of 0 and deviations within 10 % of 1.

    Example:
        >>> fits([0.286], [0.353], [0.2860], [0.3530]), fits([0.286], [0.353], [0.449], [0.226])
        (True, False)
    """
    return all(
        abs(m - used_m) <= 0.1 * used_s and abs(s / used_s - 1) <= 0.1
        for m, s, used_m, used_s in zip(mean, std, used_mean, used_std, strict=True)
    )
