"""Image filters as kernels and as a module: convolutions with fixed weights instead of learned ones."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnkit.errors import UserError

FILTERS = {
    "box": "blur: the mean over a square, 3 pixels wide unless size is set",
    "gaussian": "blur: a mean weighted by a bell curve; sigma is 1 pixel unless it is set",
    "sharpen": "the image plus the differences between each pixel and its four neighbors",
    "sobel": "edges in every direction: the length of the vector (sobel_x, sobel_y)",
    "sobel_x": "change from left to right, so vertical edges; averaged over three rows",
    "sobel_y": "change from top to bottom, so horizontal edges; averaged over three columns",
    "vertical_edge": "each pixel minus its right neighbor: the smallest kernel that finds vertical edges",
    "emboss": "relief: bright parts stand out, lit from the upper left",
    "sepia": "vintage: the brown of old photographs; a 1x1 convolution over the colors",
}
LARGEST = 9999  # rows or columns of a kernel
BLURS = ("box", "gaussian")
STEPS = {"sobel": 4, "sobel_x": 4, "sobel_y": 4, "vertical_edge": 1}  # responses to a step from 0 to 1
_SOBEL_X = [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
_SOBEL_Y = [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]
_FIXED = {
    "sharpen": [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]],
    "sobel": [_SOBEL_X, _SOBEL_Y],
    "sobel_x": _SOBEL_X,
    "sobel_y": _SOBEL_Y,
    "vertical_edge": [[1.0, -1.0]],
    "emboss": [[-2.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, 2.0]],
    "sepia": [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]],
}


def make_kernel(name: str, size: int | None = None, sigma: float | None = None) -> Tensor:
    """Return the weights of a filter in float32, not flipped, as `torch.nn.Conv2d` uses them.

    The weights of a blur, of ``sharpen`` and of ``emboss`` add up to 1, so the mean brightness stays. The weights of a
    derivative add up to 0, so a uniform area becomes black.

    Args:
        name: one of `FILTERS`.
        size: rows and columns of a blur, odd. The default is 3 for ``box``, and 3 sigma on either side for
            ``gaussian``.
        sigma: standard deviation of ``gaussian`` in pixels.

    Returns:
        The kernel, (k, k). ``sobel`` has two kernels, (2, 3, 3). ``sepia`` has a row for each color of the result and
        a column for each color of the image.

    Raises:
        UserError: the filter is unknown, or it does not have this setting.

    Example:
        >>> make_kernel("gaussian", size=3, sigma=0.85).mul(16).round().tolist()
        [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
        >>> make_kernel("sobel_x").tolist()
        [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
    """
    if name not in FILTERS:
        raise UserError(f"filter is {name!r}: there are {', '.join(FILTERS)}")
    if size is not None and name not in BLURS:
        raise UserError(f"size is {size}, but {name} has one size only: leave it out, or take {' or '.join(BLURS)}")
    if sigma is not None and name != "gaussian":
        raise UserError(f"sigma is {sigma}, but {name} has none: leave it out, or take gaussian")
    if name in BLURS:
        profile = _make_profile(name, size, sigma)
        return torch.outer(profile, profile)
    return torch.tensor(_FIXED[name])


def _make_profile(name: str, size: int | None, sigma: float | None) -> Tensor:
    """Return the weights (k,) of one row of a blur; the kernel is their outer product with themselves."""
    sigma = 1.0 if sigma is None else sigma
    if not 0 < sigma < math.inf:
        raise UserError(f"sigma is {sigma}: give pixels above 0")
    if size is None:
        size = 3 if name == "box" else 2 * math.ceil(3 * sigma) + 1
    if size % 2 == 0 or not 1 <= size <= LARGEST:
        raise UserError(f"size is {size}: give an odd number up to {LARGEST}, so that one pixel is in the middle")
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.ones_like(offsets) if name == "box" else torch.exp(-(offsets**2) / (2 * sigma**2))
    return (weights / weights.sum()).float()


class ImageFilter(nn.Module):
    """A filter as a module; it filters each channel separately, only ``sepia`` mixes them.

    Args:
        name: one of `FILTERS`.
        size: size of a blur; see `make_kernel`.
        sigma: see `make_kernel`.
        border: the values outside the image: its edge repeated (``replicate``), or the mirrored image
            (``reflect``).

    Example:
        >>> ImageFilter("vertical_edge")(torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]]))
        tensor([[[[0., 1., 0., 0.]]]])
    """

    kernels: Tensor

    def __init__(
        self,
        name: str,
        size: int | None = None,
        sigma: float | None = None,
        border: Literal["replicate", "reflect"] = "replicate",
    ) -> None:
        super().__init__()
        if border not in ("replicate", "reflect"):
            raise UserError(f"border is {border!r}: give 'replicate' or 'reflect'")
        self.name, self.border = name, border
        weights = make_kernel(name, size, sigma)
        # A blur runs along rows, then along columns: 2 k multiplications per pixel instead of k * k.
        self.register_buffer("kernels", _make_profile(name, size, sigma) if name in BLURS else weights)

    def forward(self, images: Tensor) -> Tensor:
        """Filter images; the result has the same height and width and is not clipped.

        Args:
            images: (B, C, H, W) in [0, 1], gray or RGB. ``sepia`` makes gray images RGB.

        Raises:
            UserError: ``sepia`` gets neither 1 nor 3 channels, or the image is too small to be mirrored.
        """
        weights = self.kernels.to(images.dtype)
        if self.name in BLURS:
            return self._correlate(self._correlate(images, weights[None, :]), weights[:, None])
        if self.name == "sobel":
            return torch.hypot(*(self._correlate(images, weight) for weight in weights))
        if self.name == "sepia":
            if images.shape[1] not in (1, 3):
                raise UserError(f"sepia: images have {images.shape[1]} channels; give 3 for color or 1 for gray")
            return F.conv2d(images.expand(-1, 3, -1, -1), weights[:, :, None, None])
        return self._correlate(images, weights)

    def render(self, images: Tensor) -> Tensor:
        """Filter images for display: the result is clipped to [0, 1].

        Derivatives lose their sign and are scaled so that a step from black to white becomes white.

        Args:
            images: (B, C, H, W) in [0, 1].
        """
        result: Tensor = self(images)
        if self.name in STEPS:
            result = result.abs() / STEPS[self.name]
        return result.clamp(0, 1)

    def extra_repr(self) -> str:
        """Return the settings for ``print``."""
        return f"{self.name}, {'x'.join(map(str, self.kernels.shape))}, border={self.border}"

    def _correlate(self, images: Tensor, weight: Tensor) -> Tensor:
        """Correlate each channel with one kernel (k, l); an even kernel reaches one pixel further on the right."""
        (rows, columns), channels = weight.shape, images.shape[1]
        height, width = images.shape[2:]
        if self.border == "reflect" and not (rows // 2 < height and columns // 2 < width):
            raise UserError(
                f"the image is {height}x{width}, too small to be mirrored for a kernel of {rows}x{columns}: "
                "give border='replicate'"
            )
        padding = ((columns - 1) // 2, columns // 2, (rows - 1) // 2, rows // 2)
        padded = F.pad(images, padding, mode=self.border)
        return F.conv2d(padded, weight.expand(channels, 1, rows, columns), groups=channels)
