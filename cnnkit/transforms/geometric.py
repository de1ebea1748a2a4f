"""Augmentations that move pixels: crops, mirror images, small rotations and scalings.

Crops and flips work on whole rows of pixels: ``index_select`` copies a row at a time, on any dtype, so uint8 images
stay uint8 and move at the speed of memory.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between, check_range


class RandomCrop(Transform):
    """Pads the images and crops each back to its size at a random place (He et al. 2016, section 4.2).

    Args:
        padding: Pixels added on each side; images move by at most that many.
        mode: What is added: ``"zero"`` (black) or ``"reflect"`` (the mirrored border, without its outermost row).

    Raises:
        ValueError: If padding is negative, the mode unknown, or images are too small to be reflected.
    """

    def __init__(self, padding: int = 4, mode: str = "zero") -> None:
        super().__init__()
        check_between(self, "padding", padding, 0, math.inf)
        if not isinstance(padding, int):
            raise ValueError(f"RandomCrop: padding must be a whole number of pixels, got {padding!r}.")
        if mode not in ("zero", "reflect"):
            raise ValueError(f'RandomCrop: mode must be "zero" or "reflect", got {mode!r}.')
        self.padding = padding
        self.mode = mode

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the shifted images, (B, C, H, W) contiguous."""
        batch, channels, height, width = images.shape
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

    def _pad(self, images: Tensor) -> Tensor:
        pad = self.padding
        if self.mode == "zero" or pad == 0:
            return F.pad(images, (pad, pad, pad, pad))
        if pad >= min(images.shape[2:]):
            size = "x".join(map(str, images.shape[2:]))
            raise ValueError(f"RandomCrop: {size} images cannot be reflected by {pad} pixels; set a smaller padding.")
        # Not F.pad: its reflection does not take uint8 on every device.
        for dim in (3, 2):
            before = images.narrow(dim, 1, pad).flip(dim)
            after = images.narrow(dim, images.shape[dim] - pad - 1, pad).flip(dim)
            images = torch.cat((before, images, after), dim)
        return images

    def extra_repr(self) -> str:
        """Shows the settings."""
        return f"padding={self.padding}, mode={self.mode!r}"


def _flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirrors left to right the images chosen by 1, not those by 0; (B,) int64."""
    batch = images.shape[0]
    both = torch.cat((images, images.flip(3))).flatten(1)
    pick = chosen * batch + torch.arange(batch, device=images.device)
    return both.index_select(0, pick).view(images.shape)


class RandomHorizontalFlip(Transform):
    """Mirrors each image left to right with probability p.

    Args:
        p: Probability of a mirrored image.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        check_between(self, "p", p, 0, 1)
        self.p = p

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the images, some of them mirrored, (B, C, H, W) contiguous."""
        return _flip(images, (counter.uniform(0) < self.p).long())

    def extra_repr(self) -> str:
        """Shows the settings."""
        return f"p={self.p}"


class AlternatingFlip(Transform):
    """Mirrors each image left to right in every other epoch (Jordan 2024, arXiv:2404.00498, section 3.6).

    Which half starts mirrored is random. Any two epochs in a row show both sides of each image, where independent
    flips would show a side twice half the time.
    """

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns the images, some of them mirrored, (B, C, H, W) contiguous."""
        side = counter.at_epoch(0).bits() & 1
        return _flip(images, side ^ (counter.epoch & 1))


class RandomAffine(Transform):
    """Rotates, shifts and scales each image about its center; what comes from outside is black.

    Bilinear interpolation; angles turn clockwise and shifts go right and down, as in torchvision.

    Args:
        degrees: Angles are uniform in [-degrees, degrees].
        translate: Shifts are uniform in [-translate, translate], a fraction of the width and of the height.
        scale_low: Least magnification.
        scale_high: Greatest magnification; uniform in [scale_low, scale_high].

    Raises:
        ValueError: If a setting is outside its range.
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
        """Returns the moved images; uint8 ones are interpolated as float32 and rounded back."""
        # list: the annotation of affine_grid does not take a torch.Size.
        grid = F.affine_grid(self._matrices(images, counter), list(images.shape), align_corners=False)
        pixels = images.to(torch.float32)
        moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return moved.round_().to(torch.uint8) if images.dtype == torch.uint8 else moved

    def _matrices(self, images: Tensor, counter: Counter) -> Tensor:
        """Returns (B, 2, 3): for each output pixel the place it comes from, both in [-1, 1]."""
        height, width = images.shape[2:]
        draw = counter.uniforms(4)
        angle = (2 * draw[0] - 1) * math.radians(self.degrees)
        # In these coordinates a side is 2 long whatever its pixels: shifts double, a rotation undoes the aspect ratio.
        right, down = (2 * draw[1:3] - 1) * (2 * self.translate)
        scale = self.scale_low + draw[3] * (self.scale_high - self.scale_low)
        cos, sin = angle.cos() / scale, angle.sin() / scale
        across, along = sin * (height / width), -sin * (width / height)
        first = torch.stack((cos, across, -cos * right - across * down), dim=1)
        second = torch.stack((along, cos, -along * right - cos * down), dim=1)
        return torch.stack((first, second), dim=1)

    def extra_repr(self) -> str:
        """Shows the settings."""
        return f"degrees={self.degrees}, translate={self.translate}, scale=[{self.scale_low}, {self.scale_high}]"
