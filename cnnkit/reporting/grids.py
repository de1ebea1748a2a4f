"""Images, kernels and feature maps as pictures: uint8 tensors (C, H, W), which TensorBoard and Pillow take as they are.

What is small is enlarged by repeating its pixels, so that a 3x3 kernel is nine squares and no blur.
"""

import io
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.errors import UserError

LEAST = 24  # pixels of a kernel's or a map's longer side in a grid
GAP = 2  # pixels between two pictures of a grid
WHITE = 255
_LINE = 40  # letters of a caption's line


def tile(images: Tensor, columns: int = 8, gap: int = GAP, fill: int = WHITE) -> Tensor:
    """Images (B, C, H, W) side by side in one picture (C, height, width), row by row.

    Args:
        images: of any dtype.
        columns: images in a row; fewer if there are fewer.
        gap: pixels between two images and around all.
        fill: value of the gaps and of places that stay empty.

    Example:
        >>> tile(torch.zeros(3, 1, 4, 4), columns=2, gap=1).shape
        torch.Size([1, 11, 11])
    """
    count, channels, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    framed = F.pad(images, (0, gap, 0, gap), value=fill)
    empty = framed.new_full((rows * columns - count, *framed.shape[1:]), fill)
    places = torch.cat([framed, empty]).view(rows, columns, channels, height + gap, width + gap)
    grid = places.permute(2, 0, 3, 1, 4).reshape(channels, rows * (height + gap), columns * (width + gap))
    return F.pad(grid, (gap, 0, gap, 0), value=fill)


def enlarge(images: Tensor, least: int = LEAST) -> Tensor:
    """Repeat the pixels of images (..., H, W) until the longer side has at least ``least``.

    Example:
        >>> enlarge(torch.zeros(1, 3, 3)).shape
        torch.Size([1, 24, 24])
    """
    factor = -(-least // max(images.shape[-2:]))
    return images.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def to_images(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Undo the normalization of images (B, C, H, W): uint8, what lies outside the range of pixels cut off.

    Args:
        images: as a net gets them, on any device.
        mean: that was subtracted from every channel, of pixels in [0, 1].
        std: that every channel was then divided by.

    Example:
        >>> to_images(torch.tensor([-2.0, 0.0, 2.0]).view(1, 1, 1, 3), mean=[0.5], std=[0.25])
        tensor([[[[  0, 128, 255]]]], dtype=torch.uint8)
    """
    means, stds = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (mean, std))
    return _as_bytes(images.detach().float() * stds + means)


def stretched(images: Tensor) -> Tensor:
    """Images (..., C, H, W) as uint8, each from its least value, black, to its greatest, white; a flat one is black."""
    images = images.detach().float()
    low, high = images.amin((-3, -2, -1), keepdim=True), images.amax((-3, -2, -1), keepdim=True)
    return _as_bytes((images - low) / (high - low).clamp_min(1e-12))


def kernel_grid(weight: Tensor, columns: int = 8) -> Tensor:
    """A convolution's kernels (O, I, kh, kw) as a picture uint8 (3 or 1, H, W), one field a filter.

    A weight of 0 is middle gray in every field, a positive one brighter, a negative one darker; each kernel is scaled
    by its own largest absolute weight. The kernels of three channels are shown in RGB, so that a filter for red is red.
    Those of other numbers of channels are averaged over them: what the filter does to a gray image.

    Example:
        >>> kernel_grid(torch.randn(64, 3, 3, 3)).shape  # 8 by 8 kernels of 24 pixels, gaps of 2
        torch.Size([3, 210, 210])
    """
    kernels = weight.detach().float().cpu()
    if kernels.shape[1] != 3:
        kernels = kernels.mean(1, keepdim=True)  # (O, 1, kh, kw)
    largest = kernels.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
    return tile(enlarge(_as_bytes((kernels / largest + 1) / 2)), columns)


def map_grid(maps: Tensor, columns: int = 8, limit: int = 64) -> Tensor:
    """The feature maps (C, H, W) of one image as a picture uint8 (1, height, width).

    Each map goes from black, its least value, to white, its greatest. One with the same value everywhere is black.

    Args:
        limit: maps shown, the first ones.

    Example:
        >>> map_grid(torch.randn(128, 13, 13)).shape  # the first 64 maps, enlarged to 26 pixels
        torch.Size([1, 226, 226])
    """
    return tile(enlarge(stretched(maps[:limit].cpu().unsqueeze(1))), columns)


def captioned_grid(
    images: Tensor,
    captions: Sequence[str],
    columns: int = 8,
    scale: int = 2,
    colors: Sequence[str] | None = None,
) -> Tensor:
    """Images with a text below each, as a picture uint8 (3, height, width) on white.

    Args:
        images: uint8 (B, C, H, W), gray or RGB.
        captions: one an image; may have several lines, each of which is cut off after 40 letters. Pillow's own font
            knows Latin letters; what it does not know, such as an arrow, becomes a box.
        scale: how many times larger the images are drawn.
        colors: of the captions, as Pillow names them, such as ``red``; black if not given.

    Raises:
        UserError: there are not as many captions as images.
    """
    if len(captions) != len(images) or (colors and len(colors) != len(images)):
        raise UserError(f"{len(images)} images, {len(captions)} captions: give one caption, and one color, an image")
    pixels = enlarge(images.cpu().expand(-1, 3, -1, -1), scale * max(images.shape[-2:]))
    texts = [_text(caption, color) for caption, color in zip(captions, colors or ["black"] * len(images), strict=True)]
    wide = max(pixels.shape[-1], *(text.shape[-1] for text in texts))
    high = max(text.shape[-2] for text in texts)
    fields = [
        torch.cat([_padded(image, wide, image.shape[-2]), _padded(text, wide, high)], 1)
        for image, text in zip(pixels, texts, strict=True)
    ]
    return tile(torch.stack(fields), columns, gap=4)


def stacked(pictures: Sequence[Tensor], captions: Sequence[str]) -> Tensor:
    """Pictures uint8 (C, H, W) of any size below one another, each under its caption, as one (3, height, width)."""
    parts = [
        part.expand(3, -1, -1)
        for picture, caption in zip(pictures, captions, strict=True)
        for part in (_text(caption, "black", 200), picture)
    ]
    wide = max(part.shape[-1] for part in parts)
    return torch.cat([F.pad(part, (0, wide - part.shape[-1]), value=WHITE) for part in parts], 1)


def _text(caption: str, color: str, letters: int = _LINE) -> Tensor:
    """Black on white or in a color, uint8 (3, H, W), as large as it must be."""
    from PIL import Image, ImageDraw, ImageFont

    lines = [line if len(line) <= letters else line[: letters - 1] + "…" for line in caption.splitlines() or [""]]
    font, text = ImageFont.load_default(11), "\n".join(lines)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font, spacing=2)
    image = Image.new("RGB", (int(box[2]) + 4, int(box[3]) + 5), "white")
    ImageDraw.Draw(image).multiline_text((2, 1), text, color, font, spacing=2, align="center")
    return from_pillow(image)


def _padded(picture: Tensor, width: int, height: int) -> Tensor:
    """On white, in the middle of the upper edge."""
    left, below = (width - picture.shape[-1]) // 2, height - picture.shape[-2]
    return F.pad(picture, (left, width - picture.shape[-1] - left, 0, below), value=WHITE)


def encode_png(picture: Tensor) -> bytes:
    """A picture uint8 (1 or 3, H, W) as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    pixels = picture.permute(1, 2, 0).squeeze(2).contiguous().numpy()
    Image.fromarray(pixels).save(file, "png", compress_level=3)  # smaller than level 9 for grids of photos, and faster
    return file.getvalue()


def from_pillow(image: Any) -> Tensor:
    """Pixels of a Pillow image, uint8 (3, H, W)."""
    import numpy as np

    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _as_bytes(shares: Tensor) -> Tensor:
    """From [0, 1] to 0..255."""
    return (shares.clamp(0, 1) * 255).round().to(torch.uint8)
