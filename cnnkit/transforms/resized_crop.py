"""A random part of each image, scaled to the size of the net's input."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.randomness import Counter
from cnnkit.transforms.adjust import to_images
from cnnkit.transforms.base import Transform, check_range
from cnnkit.transforms.sampling import add_places, sample_images

_TRIES = 10


class RandomResizedCrop(Transform):
    """Cut a box of random area and shape out of each image, and scale it to the size of the net's input.

    Boxes are drawn as in torchvision (Szegedy et al. 2014, arXiv:1409.4842, section 6): of ten boxes the first that
    fits, or else the largest one in the middle with an allowed shape. Interpolation is bilinear, without antialiasing.

    Args:
        area_low: least area, as a share of the image.
        area_high: greatest area.
        ratio_low: least ratio of the box's width to its height.
        ratio_high: greatest ratio; log-uniform in between.

    Attributes:
        size: height and width of the results; None: those of the images. `Augment` sets it to that of the net's input.
    """

    def __init__(
        self, area_low: float = 0.08, area_high: float = 1.0, ratio_low: float = 0.75, ratio_high: float = 4 / 3
    ) -> None:
        super().__init__()
        check_range(self, "area", area_low, area_high, 1e-4, 1)
        check_range(self, "ratio", ratio_low, ratio_high, 0.01, 100)
        self.area_low, self.area_high = area_low, area_high
        self.ratio_low, self.ratio_high = ratio_low, ratio_high
        self.size: tuple[int, int] | None = None

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Crop images; the result (B, C, *size) is contiguous. uint8 ones are interpolated as float32 and rounded."""
        size = self.size or images.shape[2:]
        top, left, height, width = self.draw(images.shape[2:], counter)
        rows = _find_places(top, height, images.shape[2], size[0])
        columns = _find_places(left, width, images.shape[3], size[1])
        x, y = columns + 0j, rows * 1j
        return sample_images(images, size, lambda part: add_places(x[part], y[part]))

    def draw(self, size: Sequence[int], counter: Counter) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return top, left, height and width of each image's box, (B,) float32, in whole pixels.

        Args:
            size: height and width of the images.
            counter: identifies the images.
        """
        height, width = size
        draws = counter.uniforms(2 * _TRIES + 2)
        area = (self.area_low + draws[:_TRIES] * (self.area_high - self.area_low)) * (height * width)
        low, high = math.log(self.ratio_low), math.log(self.ratio_high)
        ratio = (low + draws[_TRIES:-2] * (high - low)).exp()
        # The last box always fits.
        widest, tallest = self._largest(height, width)
        widths = F.pad((area * ratio).sqrt().round(), (0, 0, 0, 1), value=widest)
        heights = F.pad((area / ratio).sqrt().round(), (0, 0, 0, 1), value=tallest)
        fits = (widths >= 1) & (heights >= 1) & (widths <= width) & (heights <= height)
        first = fits.to(torch.int8).argmax(0, keepdim=True)
        box_width, box_height = widths.gather(0, first)[0], heights.gather(0, first)[0]
        drawn = first[0] < _TRIES
        top = self._place(draws[-2], height - box_height, drawn)
        left = self._place(draws[-1], width - box_width, drawn)
        return top, left, box_height, box_width

    def _largest(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of the largest box with an allowed shape."""
        if width / height < self.ratio_low:
            return width, max(1, round(width / self.ratio_low))
        if width / height > self.ratio_high:
            return max(1, round(height * self.ratio_high)), height
        return width, height

    @staticmethod
    def _place(uniform: Tensor, room: Tensor, drawn: Tensor) -> Tensor:
        """Whole numbers, uniform in 0, ..., room; the middle where nothing is drawn."""
        placed = (uniform * (room + 1)).floor().minimum(room)
        return torch.where(drawn, placed, (room / 2).floor())

    def extra_repr(self) -> str:
        area, ratio = f"[{self.area_low}, {self.area_high}]", f"[{self.ratio_low:.4g}, {self.ratio_high:.4g}]"
        return f"area={area}, ratio={ratio}"


def _find_places(start: Tensor, length: Tensor, size: int, count: int) -> Tensor:
    """Return where along a side of ``size`` pixels the ``count`` pixels of each box are taken, (B, count), in [-1, 1].

    The places stay within the centers of the box's outermost pixels, so that nothing from outside the box mixes in.
    """
    center = torch.arange(count, device=start.device) + 0.5
    place = center * (length[:, None] / count) - 0.5
    place = place.clamp_(min=0).minimum(length[:, None] - 1) + start[:, None]
    return (2 * place + 1) / size - 1


def shrink_images(images: Tensor, size: Sequence[int]) -> Tensor:
    """Scale whole images, uint8 or float32, to a smaller size with antialiasing."""
    if tuple(images.shape[2:]) == tuple(size):
        return images
    small = F.interpolate(images.float(), list(size), mode="bilinear", antialias=True, align_corners=False)
    return to_images(small.clamp_(0, 255), torch.uint8) if images.dtype == torch.uint8 else small
