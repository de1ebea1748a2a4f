"""Augmentations that mix pairs of images and their labels.

The partner of an image is the previous one in the batch, whose order is random already. One proportion is drawn for a
batch, on the host and from (seed, epoch, batch number) alone. So nothing waits for a GPU, and a resumed run repeats it.
"""

import math
import random

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.randomness import mix_seed
from cnnkit.recorded import Recorded
from cnnkit.transforms.base import check_between


def soft_labels(labels: Tensor, num_classes: int) -> Tensor:
    """Return labels, (B,) int64 or (B, K) floating point, as probabilities (B, K), float32."""
    if labels.dim() == 2:
        return labels.to(torch.float32)
    # Not F.one_hot, which reads the labels back to check them.
    return torch.zeros(len(labels), num_classes, device=labels.device).scatter_(1, labels[:, None], 1.0)


class Mix(Recorded, nn.Module):
    """Base of the augmentations that mix the images of a batch; a subclass defines ``mix``.

    Args:
        alpha: the proportion of an image that is kept is drawn from Beta(alpha, alpha).
        p: probability that a batch is mixed.
        epochs: number of epochs, from the first, that mix. The later ones train on the images as they are, which
            often helps (Ge et al. 2021, arXiv 2107.08430, for detection). None: all epochs mix.

    Raises:
        UserError: a setting is out of range.
    """

    def __init__(self, alpha: float, p: float = 1.0, epochs: int | None = None) -> None:
        super().__init__()
        check_between(self, "alpha", alpha, 1e-3, math.inf)
        check_between(self, "p", p, 0, 1)
        check_between(self, "epochs", 0 if epochs is None else epochs, 0, math.inf)
        self.alpha = alpha
        self.p = p
        self.epochs = math.inf if epochs is None else epochs

    def forward(
        self, images: Tensor, labels: Tensor, num_classes: int, seed: int, epoch: int, number: int, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Return mixed images (B, C, H, W) and their soft labels (B, K), float32.

        Args:
            images: (B, C, H, W) floating point.
            labels: (B,) int64 or (B, K) soft labels.
            num_classes: K.
            seed: seed of the run.
            epoch: the epoch.
            number: number of the batch in the epoch.
            stream: gives each mix of a pipeline its own random numbers.
        """
        labels = soft_labels(labels, num_classes)
        draw = random.Random(mix_seed(seed, epoch, number, stream))
        if epoch >= self.epochs or draw.random() >= self.p:
            return images, labels
        images, kept = self.mix(images, draw)
        return images, labels.lerp(labels.roll(1, 0), 1 - kept)

    def mix(self, images: Tensor, draw: random.Random) -> tuple[Tensor, float]:
        """Return mixed images and the proportion of each that was kept.

        Args:
            images: (B, C, H, W) floating point; image i is mixed with image i - 1.
            draw: source of the batch's random numbers.
        """
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, p={self.p}" + ("" if self.epochs == math.inf else f", epochs={self.epochs}")


class MixUp(Mix):
    """Blend each image and label with its partner's (Zhang et al. 2017, arXiv:1710.09412).

    Args:
        alpha: the proportion of an image that is kept is drawn from Beta(alpha, alpha).
        p: probability that a batch is mixed.
        epochs: number of epochs, from the first, that mix; None: all.
    """

    def __init__(self, alpha: float = 0.2, p: float = 1.0, epochs: int | None = None) -> None:
        super().__init__(alpha, p, epochs)

    def mix(self, images: Tensor, draw: random.Random) -> tuple[Tensor, float]:
        if not images.is_floating_point():
            raise UserError(f"MixUp: images must be floating point, got {images.dtype}; normalize them first.")
        kept = draw.betavariate(self.alpha, self.alpha)
        # roll and the lerp in place keep the memory format; lerp alone loses channels_last with one channel.
        return images.roll(1, 0).lerp_(images, kept), kept


class CutMix(Mix):
    """Paste a box of the partner into each image, and mix labels by its area (Yun et al. 2019, arXiv:1905.04899).

    All images of a batch have the same box. As in the paper, its center is uniform, it is cut off at the border, and
    the proportion of the labels is that of the pasted pixels.

    Args:
        alpha: the proportion of an image that is kept is drawn from Beta(alpha, alpha), before the box is cut off.
        p: probability that a batch is mixed.
        epochs: number of epochs, from the first, that mix; None: all.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0, epochs: int | None = None) -> None:
        super().__init__(alpha, p, epochs)

    def mix(self, images: Tensor, draw: random.Random) -> tuple[Tensor, float]:
        height, width = images.shape[2:]
        side = math.sqrt(1 - draw.betavariate(self.alpha, self.alpha))
        top, bottom = self._span(height, side, draw)
        left, right = self._span(width, side, draw)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right].roll(1, 0)
        return mixed, 1 - (bottom - top) * (right - left) / (height * width)

    @staticmethod
    def _span(size: int, side: float, draw: random.Random) -> tuple[int, int]:
        """Where the box begins and ends along one side of the image."""
        length = int(size * side)
        start = draw.randrange(size) - length // 2
        return max(start, 0), min(start + length, size)
