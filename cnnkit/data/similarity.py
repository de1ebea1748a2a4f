"""Equal and similar images: hashes of many images at once, and pairs of hashes that are close.

The perceptual hash is that of Zauner 2010 ("Implementation and benchmarking of perceptual image hash functions",
section 3.2.1): the signs of the low frequencies of a small gray image. It survives other sizes, compression, brightness
and contrast, and small shifts; a mirrored or turned image has another hash.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 32  # pixels of the gray image
FLAT = 2.0  # standard deviation, of 255, below which an image has no hash that says anything
_BITS = 64
_SHIFT = 2  # pixels
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)  # of SplitMix64 (Steele et al. 2014)
_GRAY = (0.299, 0.587, 0.114)  # ITU-R 601-2
_ROWS, _COLUMNS = 128, 4096  # hashes that are compared at once, so that they stay in the cache


def hash_pixels(images: Tensor) -> Tensor:
    """Hash the pixels of each image to 64 bits: equal images have equal hashes.

    Args:
        images: uint8 (N, C, H, W).

    Returns:
        int64 (N,).
    """
    rows = images.flatten(1)
    rows = F.pad(rows, (0, -rows.shape[1] % 8)).contiguous()
    words = rows.view(torch.int64)  # (N, L / 8)
    place = torch.arange(1, words.shape[1] + 1) * _signed(_MIX[0])
    mixed = (words ^ place) * _signed(_MIX[1])
    mixed = (mixed ^ (mixed >> 31)) * _signed(_MIX[0])
    return (mixed ^ (mixed >> 29)).sum(1)


def shrink_to_gray(images: Tensor) -> Tensor:
    """Shrink images to gray ones of `SIDE` pixels, antialiased, of any aspect ratio.

    Args:
        images: uint8 (N, C, H, W), C 1 or 3.

    Returns:
        uint8 (N, SIDE, SIDE).
    """
    weights = torch.tensor(_GRAY if images.shape[1] == 3 else (1.0,))
    gray = torch.einsum("nchw,c->nhw", images.float(), weights)
    if gray.shape[1:] != (SIDE, SIDE):
        gray = F.interpolate(gray[:, None], (SIDE, SIDE), mode="bilinear", antialias=True)[:, 0]
    return gray.round().clamp(0, 255).to(torch.uint8)


def hash_perceptually(gray: Tensor) -> Tensor:
    """Hash small gray images to 64 bits, of which similar images share most.

    Args:
        gray: uint8 (N, SIDE, SIDE), of `shrink_to_gray`.

    Returns:
        int64 (N,): which of the 64 lowest frequencies but the mean are above their median.

    Example:
        >>> image = (torch.arange(32)[:, None] * torch.arange(32) % 251).to(torch.uint8)[None]
        >>> bool((hash_perceptually(image) == hash_perceptually(image // 2 + 40)).all())
        True
    """
    count = math.isqrt(_BITS) + 1
    places = torch.arange(SIDE, dtype=torch.float32)
    cosines = torch.cos(math.pi / SIDE * (places + 0.5) * torch.arange(count)[:, None])  # (9, SIDE)
    found = cosines @ gray.float() @ cosines.T  # (N, 9, 9)
    order = sorted(range(1, count * count), key=lambda place: (place // count + place % count, place))[:_BITS]
    found = found.flatten(1)[:, order]
    above = found > found.median(1, keepdim=True).values
    return (above.long() << torch.arange(_BITS)).sum(1)


def is_flat(gray: Tensor) -> Tensor:
    """Whether gray images (N, H, W) have hardly any contrast: bool (N,)."""
    return gray.flatten(1).float().std(1) < FLAT


def find_close(first: Tensor, second: Tensor | None, most: int, *, once: bool = False) -> Iterator[Tensor]:
    """Find the pairs of hashes that differ in few bits.

    All pairs are compared, block by block: 60,000 with each other in seconds.

    Args:
        first: int64 (N,).
        second: int64 (M,); None compares the first ones with each other, each pair once.
        most: bits that may differ.
        once: only pairs whose place in the first is below that in the second, as for mirrored images.

    Yields:
        int64 (P, 3), for each block: place in the first, place in the second, bits that differ.

    Example:
        >>> torch.cat(list(find_close(torch.tensor([0, 7]), torch.tensor([1, 255]), 2))).tolist()
        [[0, 0, 1], [1, 0, 2]]
    """
    a = first.numpy().view(np.uint64)
    b = a if second is None else second.numpy().view(np.uint64)
    once = once or second is None
    for row in range(0, len(a), _ROWS):
        for column in range(row - row % _COLUMNS if once else 0, len(b), _COLUMNS):
            bits = np.bitwise_count(a[row : row + _ROWS, None] ^ b[None, column : column + _COLUMNS])
            i, j = np.nonzero(bits <= most)
            found = np.stack([i + row, j + column, bits[i, j].astype(np.int64)], 1)
            found = found[found[:, 0] < found[:, 1]] if once else found
            if len(found):
                yield torch.from_numpy(found)


def correlate_details(first: Tensor, second: Tensor) -> Tensor:
    """Compute how well the details of each pair of gray images agree, at the best of the shifts by up to two pixels.

    Details are what a blur takes away. Two ships before a bright sky share their low frequencies, and so their hash,
    but not their details.

    Args:
        first: uint8 (P, H, W).
        second: uint8 (P, H, W).

    Returns:
        The correlation, float32 (P,), 0 without details.
    """
    (a, b), side = map(_take_details, (first, second)), first.shape[-1] - 2 * _SHIFT
    core = _center(a[:, _SHIFT : _SHIFT + side, _SHIFT : _SHIFT + side])
    best = torch.full((len(a),), -1.0)
    for row in range(2 * _SHIFT + 1):
        for column in range(2 * _SHIFT + 1):
            other = _center(b[:, row : row + side, column : column + side])
            best = torch.maximum(best, F.cosine_similarity(core, other))
    return best


def _take_details(gray: Tensor) -> Tensor:
    images = gray.float()[:, None]
    return (images - F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), 5, 1))[:, 0]


def _center(images: Tensor) -> Tensor:
    rows = images.flatten(1)
    return rows - rows.mean(1, keepdim=True)


def _signed(word: int) -> int:
    """The same 64 bits as a signed number."""
    return word - 2**64 if word >= 2**63 else word
