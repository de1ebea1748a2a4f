"""Small images and strategies of sizes for the tests of the classroom's loops.

Pixels are whole numbers: sums are exact in any order, so results must be equal, not close.
"""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

seeds, channels = st.integers(0, 99), st.integers(1, 3)
sides = st.tuples(st.integers(2, 7), st.integers(2, 7))
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 2), st.integers(0, 2))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))
few = settings(deadline=None, max_examples=40)


def whole(seed: int, *shape: int) -> Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(seed)).double()


def count(*shape: int, start: int = 0) -> Tensor:
    return torch.arange(start, start + torch.Size(shape).numel()).view(shape)


def fits(i: tuple[int, int], k: tuple[int, int], p: tuple[int, int], d: tuple[int, int] = (1, 1)) -> bool:
    return all(i[n] + 2 * p[n] > d[n] * (k[n] - 1) for n in (0, 1))
