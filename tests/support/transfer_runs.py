"""A net, data and a trainer for transfer learning, and the state of its backbone."""

from typing import Any

import torch
from torch import Tensor

from cnnkit import CNN, FashionMNISTSample


def net(**kwargs: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(**{"channels": (4, 6, 8), "hidden_sizes": (), "norm": "batch", "dropout": 0.2, "padding": 1, **kwargs})


def data(**kwargs: Any) -> FashionMNISTSample:
    return FashionMNISTSample(**{"batch_size": 32, **kwargs})


def outside(state: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items() if not name.startswith(f"{head}.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
