"""VGG: many 3x3 convolutions, the image halved and the channels doubled between stages.

Simonyan & Zisserman 2014, arXiv 1409.1556, table 1 (A, B, D, E). Differences, as usual on CIFAR-10: batch norm, and
one linear layer on 512 means instead of three dense ones. A convolution has no bias before batch norm. VGG-16
with these biases, as in other implementations, has 14,728,266 parameters.
"""

from typing import Literal

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import ConvNormAct, NormName, init_he
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width

_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(Recorded, nn.Module):
    """Five stages of 3x3 convolutions, each with a pooling at its end while the image is larger than one pixel.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        depth: layers with weights in the paper's net: 8, 10, 13 or 16 convolutions and three dense layers.
        norm: normalization after every convolution.
        width: factor on the filters of all convolutions; the cost grows with its square.

    Raises:
        UserError: the depth is none of these, or no filter is left.

    Example:
        >>> [sum(p.numel() for p in VGG(3, 10, 32, depth=16, norm=norm).parameters()) for norm in ("batch", "none")]
        [14724042, 14719818]
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        depth: Literal[11, 13, 16, 19] = 11,
        norm: NormName = "batch",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        widths = [round(width * filters) for filters in (64, 128, 256, 512, 512)]
        if depth not in _CONVOLUTIONS or min(widths) < 1:
            raise UserError(f"depth is {depth}, width {width}; the depths are 11, 13, 16 and 19, and width a factor.")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        self.features = nn.Sequential()
        channels, left = in_channels, min(self.image_size)
        for count, filters in zip(_CONVOLUTIONS[depth], widths, strict=True):
            stage = nn.Sequential()
            for _ in range(count):
                stage.append(ConvNormAct(channels, filters, norm=norm))
                channels = filters
            if left > 1:  # 28 pixels are pooled four times, 32 five times
                stage.append(nn.MaxPool2d(2))
                left //= 2
            self.features.append(stage)
        init_he(self)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.features(images)  # -> (B, 64, 16, 16) -> (B, 128, 8, 8) -> (B, 256, 4, 4) -> 512, 2, 2 -> 512, 1, 1
        logits: torch.Tensor = self.classifier(maps.mean((2, 3)))  # (B, 512) -> (B, K)
        return logits
