"""Stochastic depth: in training, whole residual branches are left out (Huang et al. 2016, arXiv 1603.09382)."""

import torch
from torch import nn


def drop_path(branch: torch.Tensor, probability: float) -> torch.Tensor:
    """Set each sample's branch (B, ...) to zero with a probability, and scale those that stay to keep the mean.

    Example:
        >>> drop_path(torch.ones(2, 3), 0.0).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if probability == 0:
        return branch
    kept = 1 - probability
    mask = branch.new_empty((len(branch), *(1,) * (branch.ndim - 1))).bernoulli_(kept)
    return branch * mask.div_(kept)


class DropPath(nn.Module):
    """Leaves a residual branch out, image by image, in training; does nothing in evaluation.

    Args:
        probability: of leaving a branch out, from 0 up to, not including, 1.
    """

    def __init__(self, probability: float = 0.1) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Map ``(B, ...)`` to the same shape."""
        return drop_path(branch, self.probability if self.training else 0.0)

    def extra_repr(self) -> str:
        """Show the probability when the net is printed."""
        return f"{self.probability}"
