"""AlexNet, the winner of ImageNet 2012, for small images.

Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012, figure 2.
Differences: a third of the filters and an eighth of the dense units; the first convolution is 5x5 with stride 1 instead
of 11x11 with stride 4, for images of 28 to 64 pixels instead of 224; all filters see all maps instead of those on their
GPU; pooling comes before the normalization, as in Caffe's version, so that there are fewer pixels to normalize; He's
initial weights, because the paper's standard deviation of 0.01 trains slowly at first. Local response norm, overlapping
pooling and dropout are the paper's.
"""

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import Dropout, LocalResponseNorm, chain_output_size, init_he
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width


class AlexNet(Recorded, nn.Module):
    """Five convolutions, three overlapping poolings, three dense layers; 1,035,562 parameters on CIFAR-10.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width); 15 or more.
        channels: filters of the five convolutions.
        hidden_size: units of both dense layers before the last.
        dropout: probability of dropping an input of these two layers in training.

    Raises:
        UserError: the image is too small for the layers, or there are not five convolutions.

    Example:
        >>> AlexNet(3, 10, 32)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        channels: tuple[int, ...] = (32, 80, 128, 128, 80),
        hidden_size: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if len(channels) != 5:
            raise UserError(
                f"channels is {channels}; AlexNet has five convolutions: give their five numbers of filters."
            )
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        c1, c2, c3, c4, c5 = channels
        self.conv1 = nn.Conv2d(in_channels, c1, 5, padding=2)
        self.conv2 = nn.Conv2d(c1, c2, 5, padding=2)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.conv4 = nn.Conv2d(c3, c4, 3, padding=1)
        self.conv5 = nn.Conv2d(c4, c5, 3, padding=1)
        self.norm = LocalResponseNorm()
        self.pool = nn.MaxPool2d(3, stride=2)  # windows overlap
        chain = (self.conv1, self.pool, self.conv2, self.pool, self.conv3, self.conv4, self.conv5, self.pool)
        height, width = chain_output_size("AlexNet", image_size, *chain)
        self.fc6 = nn.Linear(c5 * height * width, hidden_size)
        self.fc7 = nn.Linear(hidden_size, hidden_size)
        self.dropout = Dropout(dropout)
        init_he(self)
        self.classifier = nn.Linear(hidden_size, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.pool(self.conv1(images)).relu())  # (B, 3, 32, 32) -> (B, 32, 32, 32) -> (B, 32, 15, 15)
        x = self.norm(self.pool(self.conv2(x)).relu())  # (B, 80, 15, 15) -> (B, 80, 7, 7)
        x = self.conv3(x).relu()  # (B, 128, 7, 7)
        x = self.conv4(x).relu()  # (B, 128, 7, 7)
        x = self.pool(self.conv5(x)).relu()  # (B, 80, 7, 7) -> (B, 80, 3, 3)
        x = self.fc6(self.dropout(x.flatten(1))).relu()  # (B, 720) -> (B, 512)
        x = self.fc7(self.dropout(x)).relu()  # (B, 512)
        logits: torch.Tensor = self.classifier(x)  # (B, K)
        return logits
