"""The arithmetic of colors: each image of a batch is changed by its own amount, in place.

Pixels are contiguous float32 (n, C, H, W) with 1 or 3 channels, in [0, 1] or, of bytes, in [0, 255]; ``white`` says
which. Amounts are (n,). The results are those of ``torchvision.transforms.v2.functional``, except that bytes are not
rounded here.
"""

import torch
from torch import Tensor

GRAY = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a gray image (ITU-R BT.601, as torchvision rounds them)."""


def get_white(images: Tensor) -> float:
    """Return the value of white: 255 for uint8 images, else 1."""
    return 255.0 if images.dtype == torch.uint8 else 1.0


def to_pixels(images: Tensor) -> Tensor:
    """Return the values of images as contiguous float32 that may be overwritten."""
    return images.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def to_images(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pixels as images of a dtype, rounded for uint8; may overwrite them."""
    return to_bytes(pixels.round_()) if dtype == torch.uint8 else pixels


def to_bytes(pixels: Tensor) -> Tensor:
    """Return pixels in [0, 255] as uint8, truncated."""
    return pixels.to(torch.int16).to(torch.uint8)  # on a CPU, the direct way takes three times as long


def mix_gray(pixels: Tensor, white: float = 1.0) -> Tensor:
    """Return the gray image (n, 1, H, W) of each image; whole numbers for bytes."""
    if pixels.shape[1] == 1:
        return pixels
    red, green, blue = torch.split(pixels, 1, 1)
    gray: Tensor = (red * GRAY[0]).add_(green, alpha=GRAY[1]).add_(blue, alpha=GRAY[2])
    return gray.floor_() if white > 1 else gray


def adjust_brightness(pixels: Tensor, factor: Tensor, white: float = 1.0) -> Tensor:
    """Multiply each image by its factor."""
    return pixels.mul_(_by_image(factor)).clamp_(0, white)


def adjust_contrast(pixels: Tensor, factor: Tensor, white: float = 1.0) -> Tensor:
    """Scale the distance of each image from its mean gray value."""
    factor = _by_image(factor)
    shift = mix_gray(pixels, white).mean((1, 2, 3), keepdim=True).mul_(1 - factor)
    # Not addcmul, which takes four times as long with two tensors of one number an image.
    return pixels.mul_(factor).add_(shift).clamp_(0, white)


def adjust_saturation(pixels: Tensor, factor: Tensor, white: float = 1.0) -> Tensor:
    """Scale the distance of each pixel from its gray value; images of one channel stay as they are."""
    if pixels.shape[1] == 1:
        return pixels
    factor = _by_image(factor)
    gray = mix_gray(pixels, white).mul_(1 - factor)
    return torch.addcmul(gray, pixels, factor, out=pixels).clamp_(0, white)


def rotate_hue(pixels: Tensor, turn: Tensor, white: float = 1.0) -> Tensor:
    """Rotate the hue of each image by a share of the circle; images of one channel stay as they are.

    HSV without its six cases: with the hue ``h`` on a circle of length 6, the largest channel ``v`` and the range ``c``
    of the channels, a channel is ``v - c * clamp(2 - distance, 0, 1)``, where ``distance`` is that of ``h`` from the
    opposite hue: 3 for red, 5 for green, 1 for blue.
    """
    if pixels.shape[1] == 1:
        return pixels
    hue, most, span = _measure_hue(pixels)
    most.add_(span)
    turn = 6 * turn[:, None, None] + 5
    for channel, opposite in zip(pixels.unbind(1), (3, 5, 1), strict=True):
        # The hue is in [-1, 5] and hue + shift in [-6, 6], so 2 - distance is ||hue + shift| - 3| - 1.
        shift = torch.remainder(turn - opposite, 6).sub_(5)
        drop = (hue + shift).abs_().sub_(3).abs_().clamp_(1, 2)
        torch.addcmul(most, drop, span, value=-1, out=channel)
    return pixels


def _measure_hue(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue in [-1, 5], largest channel, and range of the channels, (n, H, W) each."""
    red, green, blue = pixels.unbind(1)
    most = torch.maximum(red, green)
    torch.maximum(most, blue, out=most)
    span = torch.minimum(red, green)
    torch.minimum(span, blue, out=span)
    torch.sub(most, span, out=span)
    # lerp by 0 or 1 selects; on a CPU, `where` takes twenty times as long.
    hue = (red - green).add_(span, alpha=4)
    is_most = torch.empty_like(most)
    hue.lerp_((blue - red).add_(span, alpha=2), torch.eq(green, most, out=is_most))
    hue.lerp_(green - blue, torch.eq(red, most, out=is_most))
    return hue.div_(span.clamp(min=1e-12)), most, span


def _by_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]
