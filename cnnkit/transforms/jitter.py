"""Augmentations of color."""

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.adjust import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    get_white,
    mix_gray,
    rotate_hue,
    to_images,
    to_pixels,
)
from cnnkit.transforms.base import ColorTransform, check_between
from cnnkit.transforms.kinds import Change, change_by_kind, change_some, selects_images

_ADJUST = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": rotate_hue,
}


class ColorJitter(ColorTransform):
    """Change brightness, contrast, saturation and hue of each image by random amounts, in a random order.

    The amounts and the arithmetic are those of torchvision's ``ColorJitter``, in float32; uint8 images are rounded
    once, at the end. Saturation and hue leave images of one channel as they are.

    Args:
        brightness: factors are uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: the same for the distance from the image's mean gray value.
        saturation: the same for the distance of a pixel from its gray value.
        hue: rotations are uniform in [-hue, hue], at most 0.5, as a share of the circle.

    Raises:
        UserError: a setting is out of range, or the images have neither one nor three channels.
    """

    def __init__(
        self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.1
    ) -> None:
        super().__init__()
        for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            check_between(self, name, value, 0, 100)
        check_between(self, "hue", hue, 0, 0.5)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self._used = [name for name in _ADJUST if getattr(self, name) > 0]
        self._orders = list(permutations(range(len(self._used))))
        self._tables: dict[torch.device, Tensor] = {}

    def draw(self, counter: Counter) -> tuple[dict[str, Tensor], Tensor]:
        """Return each image's amounts, (B,) each, and the number of its order among all orders, (B,) int64."""
        draws = counter.uniforms(len(self._used))
        amounts = {}
        for draw, name in zip(draws, self._used, strict=True):
            most = getattr(self, name)
            low, high = (-most, most) if name == "hue" else (max(0.0, 1 - most), 1 + most)
            amounts[name] = draw * (high - low) + low
        return amounts, counter.integers(len(self._used), 0, len(self._orders) - 1)

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Change images; the result (B, C, H, W) is contiguous."""
        self.check_images(images.shape[1], images.shape[2:])
        amounts, order = self.draw(counter)
        white = get_white(images)
        if selects_images(images.device):  # each image is converted once
            changes = [self._chain(numbers, amounts, white, images.dtype) for numbers in self._orders]
            return change_by_kind(images, order, changes)
        pixels = to_pixels(images)
        alone = [self._chain((number,), amounts, white, torch.float32) for number in range(len(self._used))]
        for number in self._find_table(images.device)[order].unbind(1):
            pixels = change_by_kind(pixels, number, alone)
        return to_images(pixels, images.dtype)

    def _find_table(self, device: torch.device) -> Tensor:
        """Return all orders, (orders, adjustments) int64, copied to a device once."""
        if device not in self._tables:
            self._tables[device] = torch.tensor(self._orders, dtype=torch.int64).to(device)
        return self._tables[device]

    def _chain(self, numbers: Sequence[int], amounts: dict[str, Tensor], white: float, dtype: torch.dtype) -> Change:
        """Return a function that applies some of the adjustments in this order and returns images of a dtype."""

        def change(some: Tensor, places: Tensor) -> Tensor:
            pixels = to_pixels(some)
            for name in (self._used[number] for number in numbers):
                pixels = _ADJUST[name](pixels, amounts[name].index_select(0, places), white)
            return to_images(pixels, dtype)

        return change


class RandomGrayscale(ColorTransform):
    """Turn each image gray with probability p; images of one channel stay as they are.

    Args:
        p: probability of a gray image.

    Raises:
        UserError: p is out of range, or the images have neither one nor three channels.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        check_between(self, "p", p, 0, 1)
        self.p = p

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Change images; the result (B, C, H, W) is contiguous. Bytes are truncated, as in torchvision."""
        self.check_images(images.shape[1], images.shape[2:])
        return change_some(images, counter.uniform(0) < self.p, self._make_gray)

    @staticmethod
    def _make_gray(images: Tensor, _: Tensor) -> Tensor:
        return mix_gray(images.to(torch.float32)).to(images.dtype).expand_as(images)
