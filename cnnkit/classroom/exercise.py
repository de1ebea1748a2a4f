"""The exercise of the lecture: pool A, pad the result, convolve it with B, and convolve that with a stride."""

from typing import NamedTuple

import torch
from torch import Tensor

from cnnkit.classroom.convolution import conv2d, corr2d
from cnnkit.classroom.pooling import pool2d

A = torch.tensor(
    [
        [12, 2, 29, 4, 1, 2, 3],
        [5, 21, 7, 8, 36, 6, 7],
        [9, 10, 11, 12, 9, 10, 11],
        [13, 14, 15, 16, 13, 14, 15],
        [7, 5, 10, 4, 28, 20, 3],
        [25, 19, 12, 8, 5, 20, 32],
        [9, 10, 11, 12, 21, 10, 11],
    ]
)
B = torch.tensor([[1, 1, 1], [1, -2, 1], [1, 1, 1]])


class Solution(NamedTuple):
    """C is A after pooling, ``padded`` is C padded with zeros, D and E are the two convolutions with B."""

    C: Tensor
    padded: Tensor
    D: Tensor
    E: Tensor


def solve() -> Solution:
    """Solve the exercise step by step; E has stride 3.

    Example:
        >>> solve().C.tolist(), solve().E.tolist()
        ([[21, 29, 36], [14, 16, 14], [25, 12, 28]], [[483]])
    """
    pooled = pool2d(A, 2, stride=2)
    padded = corr2d(pooled, torch.ones(1, 1, dtype=torch.long), padding=2)  # a 1x1 kernel of value 1 only pads
    whole = corr2d(pooled, B, padding=2)
    assert torch.equal(whole, conv2d(pooled, B, padding=2))  # B rotated by 180 degrees is B
    return Solution(pooled, padded, whole, corr2d(whole, B, stride=3))
