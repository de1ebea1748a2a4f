"""Augmentations that turn each image, or look at it from an angle."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between
from cnnkit.transforms.kinds import change_some
from cnnkit.transforms.sampling import add_places, make_affine_grid, make_affine_matrices, sample_images


class RandomRotation(Transform):
    """Rotate each image about its center; pixels from outside are black. Interpolation is bilinear.

    Args:
        degrees: angles are uniform in [-degrees, degrees].
    """

    def __init__(self, degrees: float = 15.0) -> None:
        super().__init__()
        check_between(self, "degrees", degrees, 0, 180)
        self.degrees = degrees

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Rotate images; the result is contiguous. uint8 ones are interpolated as float32 and rounded."""
        size = images.shape[2:]
        angle = (2 * counter.uniform(0) - 1) * math.radians(self.degrees)
        matrices = make_affine_matrices(size, angle)
        return sample_images(images, size, lambda part: make_affine_grid(matrices[part], size))


class RandomPerspective(Transform):
    """Move the corners of each image inward by random amounts, with probability p; pixels from outside are black.

    The corners and the arithmetic are those of torchvision. Interpolation is bilinear.

    Args:
        distortion: a corner moves by at most half of each side times this, between 0 and 1.
        p: probability that an image is changed.
    """

    def __init__(self, distortion: float = 0.5, p: float = 0.5) -> None:
        super().__init__()
        check_between(self, "distortion", distortion, 0, 1)
        check_between(self, "p", p, 0, 1)
        self.distortion, self.p = distortion, p

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Change images; the result is contiguous. uint8 ones are interpolated as float32 and rounded."""
        size = images.shape[2:]
        matrices = find_homographies(size, self.draw(size, counter)).to(torch.float32)

        def change(some: Tensor, places: Tensor) -> Tensor:
            chosen = matrices.index_select(0, places)
            return sample_images(some, size, lambda part: _make_grid(chosen[part], size))

        return change_some(images, counter.uniform(8) < self.p, change)

    def draw(self, size: Sequence[int], counter: Counter) -> Tensor:
        """Return the new corners (B, 4, 2): x and y in pixels, clockwise from the upper left one, float32."""
        height, width = size
        across, down = (int(self.distortion * (side // 2)) + 1 for side in (width, height))
        draws = counter.uniforms(8)
        x, y = (draws[:4] * across).floor_(), (draws[4:] * down).floor_()
        x[1:3] += width - across
        y[2:] += height - down
        return torch.stack((x, y), 2).transpose(0, 1)


def find_homographies(size: Sequence[int], corners: Tensor) -> Tensor:
    """Return matrices (B, 3, 3), float64, up to a factor, that map the given corners to those of the image, in pixels.

    The map from a square to a quadrangle is known in closed form (Heckbert 1989, "Fundamentals of texture mapping and
    image warping", section 2.2.3), and the adjugate of its matrix is the way back.

    Args:
        size: height and width of the image.
        corners: (B, 4, 2), x and y in pixels, clockwise from the upper left one.
    """
    height, width = size
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.double().unbind(1))
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = ax * by - bx * ay
    g, h = (sx * by - bx * sy) / area, (ax * sy - sx * ay) / area
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    across, down = width - 1, height - 1
    return torch.stack(
        (
            torch.stack((e - f * h, c * h - b, b * f - c * e), 1) * across,
            torch.stack((f * g - d, a - c * g, c * d - a * f), 1) * down,
            torch.stack((d * h - e * g, b * g - a * h, a * e - b * d), 1),
        ),
        1,
    )


def _make_grid(matrices: Tensor, size: Sequence[int]) -> Tensor:
    """Return the places (n, H, W, 2), in [-1, 1], to which the matrices (n, 3, 3) map the centers of the pixels."""
    height, width = size
    x = torch.arange(width, device=matrices.device) + 0.5
    y = torch.arange(height, device=matrices.device) + 0.5
    across, down, shift = torch.complex(matrices[:, 0] * (2 / width), matrices[:, 1] * (2 / height)).unbind(1)
    places = add_places(across[:, None] * x, down[:, None] * y + shift[:, None])
    across, down, shift = matrices[:, 2].unbind(1)
    depth = (across[:, None] * x)[:, None, :] + (down[:, None] * y + shift[:, None])[:, :, None]
    return places.div_(depth[..., None]).sub_(1).nan_to_num_(posinf=2.0, neginf=-2.0)
