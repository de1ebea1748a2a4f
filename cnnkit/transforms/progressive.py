"""Smaller images in the first epochs (fastai's progressive resizing; Tan & Le 2021, arXiv 2104.00298, section 4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.randomness import Counter
from cnnkit.transforms.base import Transform, check_between


class ProgressiveResize(Transform):
    """Shrink the images of the first epochs, which then train faster; later epochs have them as they are.

    A training step costs about ``scale`` squared of its time. The net must take images of both sizes, as nets that end
    with a mean or a maximum over all pixels do. Validation has whole images from the start.

    Args:
        scale: height and width in the first epochs, as a share.
        epochs: number of these epochs.
    """

    def __init__(self, scale: float = 0.75, epochs: int = 5) -> None:
        super().__init__()
        check_between(self, "scale", scale, 0.1, 1)
        check_between(self, "epochs", epochs, 0, float("inf"))
        if not isinstance(epochs, int):
            raise UserError(f"epochs is {epochs!r}: ProgressiveResize takes a whole number of epochs")
        self.scale, self.epochs = scale, epochs

    def shrink(self, size: Sequence[int]) -> list[int]:
        """Return height and width in the first epochs."""
        return [max(1, round(self.scale * side)) for side in size]

    def forward(self, images: Tensor, counter: Counter) -> Tensor:
        """Return images (B, C, H, W); in the first epochs (B, C, scale H, scale W), with antialiasing."""
        if counter.epoch >= self.epochs or self.scale == 1:
            return images
        size = self.shrink(images.shape[2:])
        small = F.interpolate(images.float(), size, mode="bilinear", antialias=True, align_corners=False)
        return small.round_().clamp_(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else small
