"""Normalization between a convolution and its activation.

Batch norm: Ioffe & Szegedy 2015, arXiv 1502.03167. Local response norm: Krizhevsky et al. 2012 (AlexNet), section 3.3.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError

NormName = Literal["none", "batch", "local_response"]


class LocalResponseNorm(nn.Module):
    """Divide every activation by a power of the energy in the neighboring channels, ``(B, C, H, W)`` to the same.

    As in the paper, b_i = a_i / (k + alpha * sum_j a_j^2)^beta, where j are the ``size`` channels around i that exist.
    ``torch.nn.LocalResponseNorm`` has the mean in place of the sum: its alpha is this alpha times ``size``. It pools
    over a fifth dimension, which on a CPU takes three times as long as shifted sums over channels that are neighbors in
    memory. The divisor is at least float32: in bfloat16 the smallest step above k = 2 is 0.016, which is larger than
    the energy. The defaults are AlexNet's.

    Args:
        size: channels in a neighborhood, an odd number.
        alpha: weight of the energy.
        beta: exponent.
        k: constant above 0, so that the divisor is not 0.

    Example:
        >>> LocalResponseNorm(size=5, alpha=1.0, beta=1.0, k=2.0)(torch.ones(1, 1, 1, 1)).item()
        0.3333333432674408
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        last = images.permute(0, 2, 3, 1)  # a view whose channels are neighbors if the images are channels_last
        exact = last.to(torch.promote_types(images.dtype, torch.float32))
        squares = F.pad(exact.square(), (self.size // 2, self.size // 2))
        energy = squares.narrow(-1, 0, images.shape[1])
        for start in range(1, self.size):
            energy = energy + squares.narrow(-1, start, images.shape[1])
        return (exact * (self.k + self.alpha * energy).pow(-self.beta)).to(images.dtype).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def make_norm(name: NormName, channels: int) -> nn.Module:
    """Build a normalization layer for ``(B, channels, H, W)`` by its name.

    Raises:
        UserError: the name is unknown.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "local_response":
        return LocalResponseNorm()
    raise UserError(f"norm {name!r} is unknown; choose one of {', '.join(get_args(NormName))}.")
