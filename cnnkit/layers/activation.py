"""Activation functions by their names, as modules and as functions."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.errors import UserError

ActivationName = Literal["relu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid"]

_ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor]]] = {
    "relu": (nn.ReLU, torch.relu),
    "leaky_relu": (nn.LeakyReLU, F.leaky_relu),
    "gelu": (nn.GELU, F.gelu),
    "silu": (nn.SiLU, F.silu),
    "tanh": (nn.Tanh, torch.tanh),
    "sigmoid": (nn.Sigmoid, torch.sigmoid),
}


def make_activation(name: ActivationName) -> nn.Module:
    """Build an activation function as a module; a `UserError` for an unknown name."""
    return _find(name)[0]()


def get_activation(name: ActivationName) -> Callable[[Tensor], Tensor]:
    """Find an activation as a function, for a net without a module for it; a `UserError` for an unknown name."""
    return _find(name)[1]


def _find(name: str) -> tuple[Callable[[], nn.Module], Callable[[Tensor], Tensor]]:
    if name not in _ACTIVATIONS:
        raise UserError(f"activation {name!r} is unknown; choose one of {', '.join(_ACTIVATIONS)}.")
    return _ACTIVATIONS[name]
