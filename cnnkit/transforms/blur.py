"""Augmentations of sharpness."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.transforms.adjust import to_images
from cnnkit.transforms.base import Transform, check_between, check_pixels, check_range
from cnnkit.transforms.kinds import change_some


class GaussianBlur(Transform):
    """Blur each image with a Gaussian of random width, with probability p (Chen et al. 2020, arXiv:2002.05709).

    The kernel and the reflected border are those of torchvision. A row of the kernel is applied and then a column.

    Args:
        kernel_size: pixels of a side of the kernel, an odd number.
        sigma_low: least standard deviation, in pixels.
        sigma_high: greatest standard deviation; uniform in between.
        p: probability that an image is blurred.

    Raises:
        UserError: a setting is out of range, or the images are too small for the kernel.
    """

    def __init__(self, kernel_size: int = 9, sigma_low: float = 0.1, sigma_high: float = 2.0, p: float = 0.5) -> None:
        super().__init__()
        check_pixels(self, "kernel_size", kernel_size, 1)
        if kernel_size % 2 == 0:
            raise UserError(f"kernel_size is {kernel_size}: GaussianBlur takes an odd number of pixels")
        check_range(self, "sigma", sigma_low, sigma_high, 0.01, 1000)
        check_between(self, "p", p, 0, 1)
        self.kernel_size = kernel_size
        self.sigma_low, self.sigma_high = sigma_low, sigma_high
        self.p = p

    def check_images(self, channels: int, size: Sequence[int]) -> None:
        """Refuse images that are too small for the kernel."""
        if self.kernel_size // 2 >= min(size):
            raise UserError(
                f"GaussianBlur: {'x'.join(map(str, size))} images are too small for kernel_size {self.kernel_size}; "
                f"set at most {2 * min(size) - 1}"
            )

    def draw(self, counter: Counter) -> tuple[Tensor, Tensor]:
        """Return which images are blurred, (B,) bool, and their standard deviations, (B,)."""
        chance, width = counter.uniforms(2)
        return chance < self.p, self.sigma_low + width * (self.sigma_high - self.sigma_low)

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Blur images; the result is contiguous. uint8 ones are blurred as float32 and rounded."""
        self.check_images(images.shape[1], images.shape[2:])
        chosen, sigma = self.draw(counter)
        places = torch.arange(self.kernel_size, device=images.device) - self.kernel_size // 2
        kernels = torch.softmax((places / (math.sqrt(2) * sigma[:, None])).square().neg(), dim=1)

        def change(some: Tensor, which: Tensor) -> Tensor:
            blurred = blur_images(some.to(torch.float32), kernels.index_select(0, which))
            return to_images(blurred, images.dtype)

        return change_some(images, chosen, change)


def blur_images(pixels: Tensor, kernels: Tensor) -> Tensor:
    """Filter the columns and the rows of each image with its own kernel; the border is reflected.

    Args:
        pixels: (n, C, H, W), float32.
        kernels: (n, K), K odd.
    """
    # On a CPU, sums of shifted images take a quarter of the time of a convolution with a group for each channel.
    pad = kernels.shape[1] // 2
    for dim, sides in ((2, (0, 0, pad, pad)), (3, (pad, pad, 0, 0))):
        padded, length = F.pad(pixels, sides, mode="reflect"), pixels.shape[dim]
        weights = kernels.t()[:, :, None, None, None]
        pixels = padded.narrow(dim, 0, length) * weights[0]
        for shift in range(1, len(weights)):
            pixels.addcmul_(padded.narrow(dim, shift, length), weights[shift])
    return pixels
