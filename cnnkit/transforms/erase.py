"""Augmentations that erase a box of each image.

The pipeline applies them after normalization, so the box holds 0, the data set's mean, as in both papers: on raw
images it would be black, which shifts the batch's statistics.
"""

import math

import torch
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between, check_pixels, check_range


def _inside(size: int, start: Tensor, length: Tensor) -> Tensor:
    """Mark, as (B, size), the pixels start, ..., start + length - 1 of a side; start may lie outside."""
    place = torch.arange(size, device=start.device)
    return (place >= start[:, None]) & (place < (start + length)[:, None])


def _erase(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Set the pixels to zero whose row (B, H) and column (B, W) are both marked."""
    batch, channels, height, width = images.shape
    # An image has two kinds of rows, whole and cut. Copying the mask of the right kind to each row is some three
    # times as fast on a CPU as broadcasting rows against columns, and channels_last keeps a row in one piece.
    cut = columns.logical_not().repeat_interleave(channels, dim=1)
    kinds = torch.stack((torch.ones_like(cut), cut), dim=1).flatten(0, 1).to(images.dtype)
    kind = rows + 2 * torch.arange(batch, device=images.device)[:, None]
    keep = kinds.index_select(0, kind.flatten())
    pixels = images.permute(0, 2, 3, 1).reshape(batch * height, width * channels)
    return keep.mul_(pixels).view(batch, height, width, channels).permute(0, 3, 1, 2)


class RandomErasing(Transform):
    """Erase a box of random area and shape within the image, with probability p (Zhong et al. 2017).

    The paper draws boxes until one fits. Here the shape is drawn from those that fit, which needs no loop and keeps the
    area uniform. The result is in channels_last memory format.

    Args:
        p: probability that an image is erased.
        area_low: least area, as a share of the image.
        area_high: greatest area.
        ratio_low: least ratio of the box's height to its width.
        ratio_high: greatest ratio; log-uniform in between.
    """

    after_normalize = True

    def __init__(
        self,
        p: float = 0.5,
        area_low: float = 0.02,
        area_high: float = 0.33,
        ratio_low: float = 0.3,
        ratio_high: float = 3.3,
    ) -> None:
        super().__init__()
        check_between(self, "p", p, 0, 1)
        check_range(self, "area", area_low, area_high, 0, 1)
        check_range(self, "ratio", ratio_low, ratio_high, 0.01, 100)
        self.p = p
        self.area_low, self.area_high = area_low, area_high
        self.ratio_low, self.ratio_high = ratio_low, ratio_high

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        height, width = images.shape[2:]
        chance, area, ratio, down, right = counter.uniforms(5)
        box_height, box_width = self._box(height, width, area, ratio)
        top = self._place(down, height - box_height)
        left = self._place(right, width - box_width)
        # An image that is not erased gets a box without rows.
        box_height = box_height * (chance < self.p)
        return _erase(images, _inside(height, top, box_height), _inside(width, left, box_width))

    def _box(self, height: int, width: int, area: Tensor, ratio: Tensor) -> tuple[Tensor, Tensor]:
        """Heights and widths in pixels, (B,) int64, from two numbers in [0, 1) for each image."""
        area = (self.area_low + area * (self.area_high - self.area_low)) * (height * width)
        # h = sqrt(area * ratio) <= height and w = sqrt(area / ratio) <= width bound the ratio.
        widest, tallest = (area / (width * width)).log(), (height * height / area).log()
        low = widest.clamp(min=math.log(self.ratio_low)).minimum(tallest)
        high = tallest.clamp(max=math.log(self.ratio_high)).maximum(low)
        ratio = (low + ratio * (high - low)).exp()
        box_height = (area * ratio).sqrt().round().clamp(1, height)
        box_width = (area / ratio).sqrt().round().clamp(1, width)
        return box_height.long(), box_width.long()

    @staticmethod
    def _place(uniform: Tensor, room: Tensor) -> Tensor:
        """Whole numbers, uniform in 0, ..., room."""
        return (uniform * (room + 1)).long().minimum(room)

    def extra_repr(self) -> str:
        area, ratio = f"[{self.area_low}, {self.area_high}]", f"[{self.ratio_low}, {self.ratio_high}]"
        return f"p={self.p}, area={area}, ratio={ratio}"


class Cutout(Transform):
    """Erase a square centered anywhere in the image, with probability p (DeVries & Taylor 2017).

    The square may extend beyond the border: the authors found that nearly complete images help. The result is in
    channels_last memory format.

    Args:
        size: side of the square, in pixels; the paper takes 16 for CIFAR-10, 8 for CIFAR-100.
        p: probability that an image is erased.
    """

    after_normalize = True

    def __init__(self, size: int = 8, p: float = 1.0) -> None:
        super().__init__()
        check_pixels(self, "size", size, 1)
        check_between(self, "p", p, 0, 1)
        self.size = size
        self.p = p

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        height, width = images.shape[2:]
        center = counter.integers(1, 0, height * width - 1)
        top, left = center // width - self.size // 2, center % width - self.size // 2
        side = self.size * (counter.uniform(0) < self.p).long()
        return _erase(images, _inside(height, top, side), _inside(width, left, side))
