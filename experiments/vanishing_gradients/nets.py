"""A deep plain net with a switch for each remedy against vanishing gradients."""

from typing import Literal

import torch
from torch import nn

from cnnkit.sizes import ImageSize


class DeepNet(nn.Module):
    """3x3 convolutions of equal width, global average pooling, one dense layer.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels; the net takes images of any size.
        depth: number of convolutions.
        width: filters of each convolution.
        activation: after every convolution.
        batch_norm: put batch norm between convolution and activation.
        skip: add a block's input to its output; a block is two convolutions (He et al. 2016, arXiv 1603.05027).
        he: initialize the weights as He et al. 2015 (arXiv 1502.01852) do for ReLU; false: torch's default, with a
            sixth of that variance.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: ImageSize = 28,
        depth: int = 20,
        width: int = 16,
        activation: Literal["sigmoid", "tanh", "relu"] = "relu",
        batch_norm: bool = False,
        skip: bool = False,
        he: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        kinds = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}

        def layer(before: int, stride: int = 1) -> nn.Sequential:
            convolution = nn.Conv2d(before, width, 3, stride, padding=1)
            if he:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            return nn.Sequential(convolution, *norm, kinds[activation]())

        self.stem = layer(in_channels, stride=2)
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range((depth - 1) // 2))
        self.last = layer(width) if depth % 2 == 0 else nn.Identity()
        self.skip = skip
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (B, C, H, W) to logits (B, K)."""
        maps = self.stem(images)  # (B, 16, 14, 14), unchanged up to the pooling
        for block in self.blocks:
            maps = block(maps) + maps if self.skip else block(maps)
        return self.head(self.last(maps).mean((2, 3)))
