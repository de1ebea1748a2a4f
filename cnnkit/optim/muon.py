"""Muon for filters and SGD for all other parameters, as one optimizer.

Muon makes the update of a filter bank an (almost) orthogonal matrix: all its directions get the same length (Jordan et
al. 2024, https://kellerjordan.github.io/posts/muon/). torch's Muon takes matrices only, and timm's trains the rest with
AdamW; both leave the length of the weights alone. Here the rest has SGD with Nesterov momentum, and each filter bank is
rescaled before its update, so that no weight decay is needed.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from cnnkit.errors import UserError

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic; it drives singular values into about [0.7, 1.2]


class MuonSGD(Optimizer):
    """Train filters (four dimensions) with Muon and everything else with SGD.

    Args:
        params: parameters or groups of them. A group is split by the dimensions of its parameters. A group's own
            ``lr`` counts for all its parts.
        lr: of filters: a step turns a filter bank by about this much, as a share of its length.
        momentum: Nesterov momentum of filters.
        ns_steps: Newton-Schulz iterations.
        matrix_lr: of parameters of two dimensions, such as the last layer.
        vector_lr: of biases and all other parameters.
        sgd_momentum: Nesterov momentum of SGD.
        weight_decay: of SGD.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.24,
        momentum: float = 0.6,
        ns_steps: int = 3,
        matrix_lr: float = 0.1,
        vector_lr: float = 0.1,
        sgd_momentum: float = 0.85,
        weight_decay: float = 0.0,
    ) -> None:
        for name, rate in {"lr": lr, "matrix_lr": matrix_lr, "vector_lr": vector_lr}.items():
            if not 0 <= rate < math.inf:
                raise UserError(f"model.optimizer.{name} is {rate}: MuonSGD takes a number of at least 0")
        if ns_steps < 1:
            raise UserError(f"model.optimizer.ns_steps is {ns_steps}: MuonSGD takes at least 1")
        for name, share in {"momentum": momentum, "sgd_momentum": sgd_momentum}.items():
            if not 0 <= share < 1:
                raise UserError(
                    f"model.optimizer.{name} is {share}: MuonSGD takes a share from 0 up to, not including, 1"
                )
        listed = list(params)
        groups = listed if listed and isinstance(listed[0], dict) else [{"params": listed}]
        rates: dict[int | None, float] = {4: lr, 2: matrix_lr}
        split = []
        for group in groups:
            for dimensions in (4, 2, None):
                own = {"lr": rates.get(dimensions, vector_lr), "filters": dimensions == 4}
                part = [p for p in group["params"] if (p.ndim if p.ndim in rates else None) == dimensions]
                if part:
                    split.append({**own, **group, "params": part})
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "ns_steps": ns_steps,
            "sgd_momentum": sgd_momentum,
            "weight_decay": weight_decay,
            "filters": False,
        }
        super().__init__(split, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            (self._turn_filters if group["filters"] else self._descend)(group, trained)
        return loss

    def _turn_filters(self, group: dict[str, Any], filters: list[Tensor]) -> None:
        for p in filters:
            buffer = self._buffer(p)
            update = _add_momentum(p.grad, buffer, group["momentum"])
            p.mul_(math.sqrt(p.shape[0]) / p.norm().clamp(min=1e-7))
            turn = orthogonalize(update.flatten(1), group["ns_steps"]).view_as(p)
            p.add_(turn, alpha=-group["lr"])

    def _descend(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for p in parameters:
            assert p.grad is not None
            gradient = p.grad.add(p, alpha=group["weight_decay"]) if group["weight_decay"] else p.grad
            p.add_(_add_momentum(gradient, self._buffer(p), group["sgd_momentum"]), alpha=-group["lr"])

    def _buffer(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def _add_momentum(gradient: Tensor | None, buffer: Tensor, momentum: float) -> Tensor:
    """Update the buffer; return the gradient with Nesterov momentum."""
    assert gradient is not None
    buffer.mul_(momentum).add_(gradient)
    return gradient.add(buffer, alpha=momentum)


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Move the singular values of a matrix (M, N) towards 1 by Newton-Schulz iterations in bfloat16.

    Args:
        matrix: any matrix; its length does not matter.
        steps: iterations; five bring all singular values that are not tiny into about [0.7, 1.2].

    Example:
        >>> values = torch.linalg.svdvals(orthogonalize(torch.diag(torch.tensor([1.0, 2.0, 3.0])), 5).float())
        >>> bool(values.min() > 0.6 and values.max() < 1.3)
        True
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
