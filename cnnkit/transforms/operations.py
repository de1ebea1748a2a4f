"""The operations of RandAugment and TrivialAugment, with the arithmetic of ``torchvision.transforms.v2``.

Each takes uint8 images (n, C, H, W), which it may overwrite, and their magnitudes (n,), float32, and returns uint8
images of the same shape. Colors are truncated to bytes, as in torchvision.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cnnkit.transforms.adjust import adjust_brightness, adjust_contrast, adjust_saturation, to_bytes, to_pixels
from cnnkit.transforms.sampling import make_affine_matrices


def find_matrices(name: str, magnitude: Tensor, height: int, width: int) -> Tensor:
    """Return the affine matrices (n, 2, 3) of ``ShearX``, ``ShearY``, ``TranslateX``, ``TranslateY`` or ``Rotate``.

    They map a pixel of the result to the place it comes from, both in [-1, 1].
    """
    if name == "Rotate":  # counterclockwise
        return make_affine_matrices((height, width), magnitude.mul(-math.pi / 180))
    matrices = torch.eye(2, 3, device=magnitude.device).expand(len(magnitude), 2, 3).clone()
    if name == "ShearX":  # the upper left corner stays
        matrices[:, 0, 1:] = (magnitude * (height / width))[:, None]
    elif name == "ShearY":
        matrices[:, 1, ::2] = (magnitude * (width / height))[:, None]
    elif name == "TranslateX":
        matrices[:, 0, 2] = magnitude.trunc() * (-2 / width)
    else:
        matrices[:, 1, 2] = magnitude.trunc() * (-2 / height)
    return matrices


def change_brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Multiply by 1 + magnitude."""
    return to_bytes(adjust_brightness(to_pixels(images), 1 + magnitude, 255.0))


def change_color(images: Tensor, magnitude: Tensor) -> Tensor:
    """Scale the saturation by 1 + magnitude; images of one channel stay as they are."""
    return to_bytes(adjust_saturation(to_pixels(images), 1 + magnitude, 255.0))


def change_contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Scale the distance from the mean gray value by 1 + magnitude."""
    return to_bytes(adjust_contrast(to_pixels(images), 1 + magnitude, 255.0))


def change_sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Scale the difference from a smoothed image by 1 + magnitude; the outermost pixels stay as they are."""
    if min(images.shape[2:]) <= 2:
        return images
    pixels = to_pixels(images)
    inner = pixels[:, :, 1:-1, 1:-1]
    columns = (pixels[..., :-2] + pixels[..., 1:-1]).add_(pixels[..., 2:])
    smooth = (columns[:, :, :-2] + columns[:, :, 1:-1]).add_(columns[:, :, 2:])
    smooth.add_(inner, alpha=4).div_(13).round_()  # weights 1, and 5 in the middle
    inner.add_(smooth.sub_(inner).mul_(-magnitude[:, None, None, None]))
    return to_bytes(pixels.clamp_(0, 255))


def posterize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Keep the upper bits of each byte, as many as the magnitude."""
    kept = 256 - (2 ** (8 - magnitude.trunc())).to(torch.int32)
    return images.bitwise_and_(kept.to(torch.uint8)[:, None, None, None])


def solarize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Invert the bytes that are at least 255 times the magnitude."""
    least = (255 * magnitude).ceil().to(torch.uint8)[:, None, None, None]
    # Bytes instead of booleans, which take ten times as long on a CPU; minus 1 is 255.
    return images.bitwise_xor_(torch.ge(images, least, out=torch.empty_like(images)).neg_())


def stretch_contrast(images: Tensor, _: Tensor) -> Tensor:
    """Stretch the values of each channel to 0, ..., 255; a channel of one value stays as it is."""
    pixels = to_pixels(images)
    least, most = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    flat = least == most
    scale = torch.where(flat, 1.0, (most - least) * (1 / 255))
    return to_bytes(pixels.sub_(least.masked_fill(flat, 0)).div_(scale).clamp_(0, 255))


def equalize(images: Tensor, _: Tensor) -> Tensor:
    """Spread the values of each channel evenly over 0, ..., 255, with the integer arithmetic of Pillow."""
    count, channels, height, width = images.shape
    values = images.view(count * channels, height * width).long()
    counts = torch.zeros(len(values), 256, device=images.device)  # float32 is exact up to 16 million, and faster
    histogram = counts.scatter_add_(1, values, torch.ones(values.shape, device=images.device)).int()
    below = histogram.cumsum(1)
    last = below.argmax(1, keepdim=True)  # the greatest value that occurs
    step = (height * width - histogram.gather(1, last)).div(255, rounding_mode="floor")
    table = (below + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255)
    table = torch.cat((table.new_zeros(len(values), 1), table[:, :-1]), 1)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).to(torch.uint8)
    return table.gather(1, values).view(images.shape)


PIXEL_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": change_brightness,
    "Color": change_color,
    "Contrast": change_contrast,
    "Sharpness": change_sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": stretch_contrast,
    "Equalize": equalize,
}
