"""Augmentations that change the light, with the arithmetic of ``torchvision.transforms.v2``."""

import torch
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between

_GREY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a grey image (ITU-R BT.601, as torchvision rounds them)."""


def _to_dtype(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Clamps to the range of the dtype; bytes are cut off, not rounded, as in torchvision."""
    return pixels.clamp_(0, 255 if dtype == torch.uint8 else 1).to(dtype)


class RandomBrightness(Transform):
    """Multiplies each image by a factor uniform in [1 - amount, 1 + amount].

    Args:
        amount: Greatest change, between 0 and 1.

    Raises:
        ValueError: If the amount is outside its range.
    """

    def __init__(self, amount: float = 0.2) -> None:
        super().__init__()
        check_between(self, "amount", amount, 0, 1)
        self.amount = amount

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the brighter or darker images."""
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)[:, None, None, None]
        return _to_dtype(images * factor, images.dtype)

    def extra_repr(self) -> str:
        """Shows the settings."""
        return f"amount={self.amount}"


class RandomContrast(Transform):
    """Stretches each image about the mean of its grey version by a factor uniform in [1 - amount, 1 + amount].

    Args:
        amount: Greatest change, between 0 and 1.

    Raises:
        ValueError: If the amount is outside its range, or images have neither one nor three channels.
    """

    def __init__(self, amount: float = 0.2) -> None:
        super().__init__()
        check_between(self, "amount", amount, 0, 1)
        self.amount = amount

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the images with more or less contrast."""
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)[:, None, None, None]
        return _to_dtype(images * factor + self._mean(images) * (1 - factor), images.dtype)

    @staticmethod
    def _mean(images: Tensor) -> Tensor:
        """Returns the mean brightness, (B, 1, 1, 1) float32."""
        grey = images.to(torch.float32)
        if images.shape[1] == 3:
            red, green, blue = grey.unbind(1)
            grey = red * _GREY[0] + green * _GREY[1] + blue * _GREY[2]
            grey = (grey.floor_() if images.dtype == torch.uint8 else grey)[:, None]
        elif images.shape[1] != 1:
            raise ValueError(f"RandomContrast: images must have 1 or 3 channels, got {images.shape[1]}.")
        return grey.mean((1, 2, 3), keepdim=True)

    def extra_repr(self) -> str:
        """Shows the settings."""
        return f"amount={self.amount}"
