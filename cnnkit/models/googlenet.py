"""GoogLeNet for small images: Inception blocks, with auxiliary heads for training.

Szegedy et al. 2014, arXiv 1409.4842. Differences: one 3x3 convolution is the stem, eight blocks instead of nine,
batch norm, and widths for images of 28 to 64 pixels, those of the CIFAR-10 net in P. Lippe's UvA deep learning course
(tutorial 5: 260,650 parameters with biases before batch norm, 89.70 % on the test set). The heads follow the first and
second of three stages; in the paper they follow the third and sixth of nine blocks.
"""

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import AuxiliaryHead, AuxiliaryOutput, ConvNormAct, Inception
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width

# Filters of each block: 1x1 | 1x1 -> 3x3 | 1x1 -> 5x5 | pooling -> 1x1
_STAGES = (
    ((16, 32, 32, 16, 8, 8), (24, 32, 48, 16, 12, 12)),
    ((24, 32, 48, 16, 12, 12), (16, 32, 48, 16, 16, 16), (16, 32, 48, 16, 16, 16), (32, 32, 48, 16, 24, 24)),
    ((32, 48, 64, 16, 16, 16), (32, 48, 64, 16, 16, 16)),
)


class GoogLeNet(Recorded, nn.Module):
    """A stem, three stages of Inception blocks with pooling between them, the mean over all pixels.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        reduce: false takes naive Inception blocks, without the 1x1 convolutions that reduce the channels.
        auxiliary: whether there are heads for ``forward_aux``. Set it to false if nothing trains them; with several
            processes (DDP) this is required.

    Example:
        >>> images = torch.zeros(2, 3, 32, 32)
        >>> GoogLeNet(3, 10, 32)(images).shape, list(GoogLeNet(3, 10, 32).forward_aux(images).aux_logits)
        (torch.Size([2, 10]), ['aux1', 'aux2'])
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        reduce: bool = True,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        self.stem = ConvNormAct(in_channels, 64)
        widths, stages = [64], []
        for blocks in _STAGES:
            stage = nn.Sequential()
            for sizes in blocks:
                block = Inception(widths[-1], *sizes, reduce=reduce)
                stage.append(block)
                widths.append(block.out_channels)
            stages.append(stage)
        self.stage1, self.stage2, self.stage3 = stages
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.classifier = nn.Linear(widths[8], num_classes)
        self.aux1 = AuxiliaryHead(widths[2], num_classes) if auxiliary else None
        self.aux2 = AuxiliaryHead(widths[6], num_classes) if auxiliary else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, H, W) to logits (B, K), without the heads, in training too."""
        return self._run(images)[0]

    def forward_aux(self, images: torch.Tensor) -> AuxiliaryOutput:
        """Map images (B, C, H, W) to the logits of the net and of its two heads."""
        if self.aux1 is None or self.aux2 is None:
            raise UserError("GoogLeNet was built with auxiliary=False and has no heads; build it with auxiliary=True")
        logits, maps1, maps2 = self._run(images)
        return AuxiliaryOutput(logits, {"aux1": self.aux1(maps1), "aux2": self.aux2(maps2)})

    def _run(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        maps = self.stem(images)  # (B, 3, 32, 32) -> (B, 64, 32, 32)
        maps1 = self.stage1(maps)  # (B, 64, 32, 32) -> (B, 96, 32, 32)
        maps2 = self.stage2(self.pool(maps1))  # (B, 96, 16, 16) -> (B, 128, 16, 16)
        maps = self.stage3(self.pool(maps2))  # (B, 128, 8, 8)
        logits: torch.Tensor = self.classifier(maps.mean((2, 3)))  # (B, 128) -> (B, K)
        return logits, maps1, maps2
