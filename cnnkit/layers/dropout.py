"""Dropout that draws fewer random bits on a CPU."""

import torch
from torch import nn

_STEPS = 2**16


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) as PyTorch's, but on a CPU it costs a fifth of the time.

    PyTorch draws a number from the generator for every value, on one thread. 16 random bits decide as well, and the
    generator gives 64 at a time. The share of dropped values is ``p``, rounded to 1/65,536, and the others are scaled
    by the rounded share, so that the mean stays exact. On a GPU, in compiled code and in place it is PyTorch's own.

    Args:
        p: probability of dropping a value in training.
        inplace: change the input itself.

    Example:
        >>> (Dropout(0.25)(torch.ones(4, 8)).unique() * 3).tolist()
        [0.0, 4.0]
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        kept = round((1 - self.p) * _STEPS)
        ours = self.training and 0 < kept < _STEPS and input.device.type == "cpu" and not self.inplace
        if not ours or torch.compiler.is_compiling():
            return super().forward(input)
        return input * _draw_mask(input, kept)


def _draw_mask(like: torch.Tensor, kept: int) -> torch.Tensor:
    """Draw a mask of zeros and 65,536 / kept, of the tensor's shape and memory format."""
    words = torch.empty((like.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: like.numel()]
    mask = (bits < kept - _STEPS // 2).to(like.dtype).mul_(_STEPS / kept)
    return mask.as_strided(like.shape, torch.empty_like(like, device="meta").stride())
