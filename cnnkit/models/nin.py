"""Network in network: every convolution is followed by a small net at each pixel, and nothing is fully connected.

Lin, Chen & Yan 2013, arXiv 1312.4400; sizes of the authors' CIFAR-10 model. Differences: batch norm by default
(``norm="none"`` is the original, with the same 966,986 parameters); no ReLU on the logits; He's initial
weights, without which the ten layers train slowly; the input is normalized, not whitened.
"""

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import ConvNormAct, Dropout, NormName, Pointwise, chain_output_size, init_he
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width


class NetworkInNetwork(Recorded, nn.Module):
    """Three stages of a spatial convolution and 1x1 convolutions, then the mean of each class's map.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        width: factor on the filters of all layers but the last; the cost grows with its square.
        norm: normalization after every convolution but the last.
        dropout: probability of dropping an input of the second and third stage in training.

    Raises:
        UserError: no filter is left, or the image is empty.

    Example:
        >>> sum(p.numel() for p in NetworkInNetwork(3, 10, 32, norm="none").parameters())
        966986
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        width: float = 1.0,
        norm: NormName = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        wide, middle, narrow = (round(width * filters) for filters in (192, 160, 96))
        if narrow < 1:
            raise UserError(f"width is {width}; give a factor that leaves filters, such as 0.5.")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        self.stage1 = nn.Sequential(
            ConvNormAct(in_channels, wide, 5, norm=norm), Pointwise(wide, middle, norm), Pointwise(middle, narrow, norm)
        )
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.stage2 = nn.Sequential(
            ConvNormAct(narrow, wide, 5, norm=norm), Pointwise(wide, wide, norm), Pointwise(wide, wide, norm)
        )
        self.pool2 = nn.AvgPool2d(3, stride=2, ceil_mode=True)
        self.stage3 = nn.Sequential(ConvNormAct(wide, wide, 3, norm=norm), Pointwise(wide, wide, norm))
        self.dropout = Dropout(dropout)
        init_he(self)
        self.classifier = nn.Conv2d(wide, num_classes, 1)
        chain_output_size("NetworkInNetwork", image_size, self.stage1, self.pool1, self.stage2, self.pool2, self.stage3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stage1(images)  # (B, 3, 32, 32) -> (B, 192, 32, 32) -> (B, 160, 32, 32) -> (B, 96, 32, 32)
        maps = self.dropout(self.pool1(maps))  # (B, 96, 16, 16)
        maps = self.stage2(maps)  # (B, 192, 16, 16)
        maps = self.dropout(self.pool2(maps))  # (B, 192, 8, 8)
        maps = self.stage3(maps)  # (B, 192, 8, 8)
        logits: torch.Tensor = self.classifier(maps).mean((2, 3))  # (B, K, 8, 8) -> (B, K)
        return logits
