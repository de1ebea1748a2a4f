"""Augmentations of brightness and contrast, with the arithmetic of ``torchvision.transforms.v2``."""

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between

_GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a gray image (ITU-R BT.601, as torchvision rounds them)."""


def _to_dtype(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Clamp to the range of the dtype; bytes are truncated, not rounded, as in torchvision."""
    return pixels.clamp_(0, 255 if dtype == torch.uint8 else 1).to(dtype)


class RandomBrightness(Transform):
    """Multiply each image by a factor uniform in [1 - amount, 1 + amount].

    Args:
        amount: greatest change, between 0 and 1.
    """

    def __init__(self, amount: float = 0.2) -> None:
        super().__init__()
        check_between(self, "amount", amount, 0, 1)
        self.amount = amount

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)[:, None, None, None]
        return _to_dtype(images * factor, images.dtype)


class RandomContrast(Transform):
    """Scale the distance of each image from its mean gray value by a factor uniform in [1 - amount, 1 + amount].

    Args:
        amount: greatest change, between 0 and 1.

    Raises:
        UserError: the images have neither one nor three channels.
    """

    def __init__(self, amount: float = 0.2) -> None:
        super().__init__()
        check_between(self, "amount", amount, 0, 1)
        self.amount = amount

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)[:, None, None, None]
        return _to_dtype(images * factor + self._mean(images) * (1 - factor), images.dtype)

    @staticmethod
    def _mean(images: Tensor) -> Tensor:
        """The mean brightness (B, 1, 1, 1), float32."""
        gray = images.to(torch.float32)
        if images.shape[1] == 3:
            red, green, blue = gray.unbind(1)
            gray = red * _GRAY[0] + green * _GRAY[1] + blue * _GRAY[2]
            gray = (gray.floor_() if images.dtype == torch.uint8 else gray)[:, None]
        elif images.shape[1] != 1:
            raise UserError(f"RandomContrast: images must have 1 or 3 channels, got {images.shape[1]}.")
        return gray.mean((1, 2, 3), keepdim=True)
