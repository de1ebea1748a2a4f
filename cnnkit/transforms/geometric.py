"""Augmentations that move pixels: crops, flips, small rotations and scalings.

Crops and flips work on whole rows of pixels: ``index_select`` copies a row at a time, on any dtype, so uint8 images
stay uint8 and move at the speed of memory.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between, check_pixels, check_range
from cnnkit.transforms.sampling import make_affine_grid, make_affine_matrices, sample_images


class RandomCrop(Transform):
    """Pad the images and crop each to its old size at a random place (He et al. 2016, section 4.2).

    Args:
        padding: pixels added on each side; images move by at most that many.
        mode: what is added: ``"zero"`` (black) or ``"reflect"`` (the mirrored border, without its outermost row).

    Raises:
        UserError: the images are too small to be reflected.
    """

    def __init__(self, padding: int = 4, mode: str = "zero") -> None:
        super().__init__()
        check_pixels(self, "padding", padding, 0)
        if mode not in ("zero", "reflect"):
            raise UserError(f"mode is {mode!r}: RandomCrop takes zero or reflect")
        self.padding = padding
        self.mode = mode

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Crop images; the result (B, C, H, W) is contiguous."""
        batch, channels, height, width = images.shape
        self.check_images(channels, (height, width))
        padded = self._pad(images).contiguous()
        padded_height, padded_width = padded.shape[2:]
        # One draw for both offsets: the images are small, and drawing is a good part of the work.
        places = 2 * self.padding + 1
        place = counter.integers(0, 0, places * places - 1)
        top, left = place // places, place % places

        # Where each row of each crop starts in memory: (B, C * H).
        first = torch.arange(batch, device=images.device) * padded[0].numel() + top * padded_width + left
        plane = torch.arange(channels, device=images.device) * (padded_height * padded_width)
        row = torch.arange(height, device=images.device) * padded_width
        start = first[:, None] + (plane[:, None] + row).flatten()
        # A view of all runs of `width` pixels, of which each crop row is one.
        runs = padded.flatten().unfold(0, width, 1)
        return runs.index_select(0, start.flatten()).view(images.shape)

    def check_images(self, channels: int, size: Sequence[int]) -> None:
        """Refuse images that are too small to be reflected."""
        if self.mode == "reflect" and self.padding >= min(size):
            shape = "x".join(map(str, size))
            raise UserError(
                f"RandomCrop: {shape} images cannot be reflected by {self.padding} pixels; "
                f"set a padding of at most {min(size) - 1}"
            )

    def _pad(self, images: Tensor) -> Tensor:
        pad = self.padding
        if self.mode == "zero" or pad == 0:
            return F.pad(images, (pad, pad, pad, pad))
        # Not F.pad: its reflection does not take uint8 on every device.
        for dim in (3, 2):
            before = images.narrow(dim, 1, pad).flip(dim)
            after = images.narrow(dim, images.shape[dim] - pad - 1, pad).flip(dim)
            images = torch.cat((before, images, after), dim)
        return images


class _RandomFlip(Transform):
    """Mirror each image along `dim` with probability p."""

    dim: int

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_between(self, "p", p, 0, 1)
        self.p = p

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Flip images; the result (B, C, H, W) is contiguous."""
        return _flip(images, (counter.uniform(0) < self.p).long(), self.dim)


def _flip(images: Tensor, chosen: Tensor, dim: int = 3) -> Tensor:
    """Mirror the images along ``dim`` for which ``chosen``, (B,) int64, is 1, not those for which it is 0."""
    batch = images.shape[0]
    both = torch.cat((images, images.flip(dim))).flatten(1)
    pick = chosen * batch + torch.arange(batch, device=images.device)
    return both.index_select(0, pick).view(images.shape)


class RandomHorizontalFlip(_RandomFlip):
    """Mirror each image left to right with probability p.

    Args:
        p: probability of a mirrored image.
    """

    dim = 3


class RandomVerticalFlip(_RandomFlip):
    """Mirror each image top to bottom with probability p.

    Args:
        p: probability of a mirrored image.
    """

    dim = 2


class AlternatingFlip(Transform):
    """Mirror each image left to right in every second epoch (Jordan 2024, arXiv:2404.00498, section 3.6).

    A random half of the images starts mirrored. Two consecutive epochs show both versions of every image; with
    independent flips, half of the images would appear twice in the same version.
    """

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Flip images; the result (B, C, H, W) is contiguous."""
        side = counter.at_epoch(0).bits() & 1
        return _flip(images, side ^ (counter.epoch & 1))


class RandomAffine(Transform):
    """Rotate, shift and scale each image about its center; pixels from outside are black.

    Interpolation is bilinear. Angles are clockwise and shifts go right and down, as in torchvision.

    Args:
        degrees: angles are uniform in [-degrees, degrees].
        translate: shifts are uniform in [-translate, translate], as a share of the width and of the height.
        scale_low: least magnification.
        scale_high: greatest magnification; uniform in [scale_low, scale_high].
    """

    def __init__(
        self, degrees: float = 10.0, translate: float = 0.1, scale_low: float = 0.9, scale_high: float = 1.1
    ) -> None:
        super().__init__()
        check_between(self, "degrees", degrees, 0, 180)
        check_between(self, "translate", translate, 0, 1)
        check_range(self, "scale", scale_low, scale_high, 0.01, 100)
        self.degrees = degrees
        self.translate = translate
        self.scale_low = scale_low
        self.scale_high = scale_high

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Move images; the result is contiguous. uint8 ones are interpolated as float32 and rounded."""
        size = images.shape[2:]
        draw = counter.uniforms(4)
        angle = (2 * draw[0] - 1) * math.radians(self.degrees)
        right, down = (2 * draw[1:3] - 1) * (2 * self.translate)
        scale = self.scale_low + draw[3] * (self.scale_high - self.scale_low)
        matrices = make_affine_matrices(size, angle, right, down, scale)
        return sample_images(images, size, lambda part: make_affine_grid(matrices[part], size))

    def extra_repr(self) -> str:
        return f"degrees={self.degrees}, translate={self.translate}, scale=[{self.scale_low}, {self.scale_high}]"
