"""Images whose pixels are taken from other places of the same image."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.transforms.adjust import to_images
from cnnkit.transforms.kinds import count_at_once


def sample_images(
    images: Tensor, size: Sequence[int], find_grid: Callable[[slice], Tensor], nearest: bool = False
) -> Tensor:
    """Sample each image of a batch at its own places; outside is black.

    Args:
        images: (B, C, H, W), uint8 or float32; uint8 ones are interpolated as float32 and rounded.
        size: height h and width w of the results.
        find_grid: returns the places (n, h, w, 2), as (x, y) in [-1, 1], for a part of the batch; see
            `torch.nn.functional.grid_sample` without ``align_corners``.
        nearest: take the nearest pixel instead of interpolating between four.

    Returns:
        (B, C, h, w), contiguous.
    """
    batch, channels = images.shape[:2]
    sampled = images.new_empty((batch, channels, *size))
    at_once = count_at_once(images, max(math.prod(size), math.prod(images.shape[2:])))
    for start in range(0, batch, at_once):
        part = slice(start, start + at_once)
        pixels = images[part].to(torch.float32)
        mode = "nearest" if nearest else "bilinear"
        found = F.grid_sample(pixels, find_grid(part), mode=mode, padding_mode="zeros", align_corners=False)
        sampled[part] = to_images(found, images.dtype)
    return sampled


def make_affine_grid(matrices: Tensor, size: Sequence[int]) -> Tensor:
    """Return the places (n, H, W, 2) to which affine matrices (n, 2, 3) map the pixels, all in [-1, 1]."""
    x, y = (_find_centers(side, matrices.device) for side in (size[1], size[0]))
    across, down, shift = torch.complex(matrices[:, 0], matrices[:, 1]).unbind(1)
    return add_places(across[:, None] * x, down[:, None] * y + shift[:, None])


def add_places(columns: Tensor, rows: Tensor) -> Tensor:
    """Return places (n, H, W, 2) as the sums of what columns, (n, W), and rows, (n, H), add to x + iy, both complex."""
    # Complex numbers keep x and y side by side, so that the sum is written in one go.
    return torch.view_as_real(columns[:, None, :] + rows[:, :, None])


def _find_centers(count: int, device: torch.device) -> Tensor:
    """Where the centers of ``count`` pixels are in [-1, 1]."""
    return (torch.arange(count, device=device) * 2 + (1 - count)) / count


def make_affine_matrices(
    size: Sequence[int],
    angle: Tensor,
    right: Tensor | float = 0.0,
    down: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
) -> Tensor:
    """Return matrices (B, 2, 3) that map a pixel of the result to the place it comes from, both in [-1, 1].

    Args:
        size: height and width.
        angle: (B,), in radians, clockwise.
        right: shift, as twice the share of the width.
        down: shift, as twice the share of the height.
        scale: magnification.
    """
    height, width = size
    # In these coordinates a side is 2 long whatever its pixels: shifts double, a rotation undoes the aspect ratio.
    cos, sin = angle.cos() / scale, angle.sin() / scale
    across, along = sin * (height / width), -sin * (width / height)
    first = torch.stack((cos, across, -cos * right - across * down), dim=1)
    second = torch.stack((along, cos, -along * right - cos * down), dim=1)
    return torch.stack((first, second), dim=1)
