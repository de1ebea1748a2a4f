"""Augmentations of brightness and contrast, with the arithmetic of ``torchvision.transforms.v2``."""

from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.adjust import adjust_brightness, adjust_contrast, get_white, to_pixels
from cnnkit.transforms.base import ColorTransform, Transform, check_between


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
        """Change images; bytes are truncated, not rounded, as in torchvision."""
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)
        return adjust_brightness(to_pixels(images), factor, get_white(images)).to(images.dtype)


class RandomContrast(ColorTransform):
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
        """Change images; bytes are truncated, not rounded, as in torchvision."""
        self.check_images(images.shape[1], images.shape[2:])
        factor = counter.uniform(0, 1 - self.amount, 1 + self.amount)
        return adjust_contrast(to_pixels(images), factor, get_white(images)).to(images.dtype)
