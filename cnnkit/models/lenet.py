"""LeNet-5, the net that read checks for banks.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998, fig. 2.
Differences, as usual today: ReLU and maximum pooling by default (``activation="tanh", pooling="avg"`` is closer; the
paper's pooling had a trained scale and bias); the activation comes before the pooling; the second convolution sees all
six maps instead of table I's selection; a linear layer gives the logits instead of RBF units.
"""

from typing import Literal

import torch
from torch import nn

from cnnkit.layers import chain_output_size, make_activation, make_conv, make_pool
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, Padding, as_height_width


class LeNet5(Recorded, nn.Module):
    """LeNet-5: two convolutions, three fully connected layers; 61,706 parameters by default.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        activation: activation function.
        pooling: pooling after both convolutions.
        padding: zeros around the image, ``same`` or ``valid``; 2 makes MNIST's 28 pixels the paper's 32, 0 is for
            images of 32.

    Raises:
        UserError: the image is too small for the layers.

    Example:
        >>> LeNet5()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: ImageSize = 28,
        activation: Literal["relu", "tanh", "sigmoid"] = "relu",
        pooling: Literal["max", "avg"] = "max",
        padding: Padding = 2,
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        self.conv1 = make_conv(in_channels, 6, 5, padding=padding)
        self.pool1 = make_pool(pooling, 2, 6)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool2 = make_pool(pooling, 2, 16)
        height, width = chain_output_size("LeNet5", image_size, self.conv1, self.pool1, self.conv2, self.pool2)
        self.fc1 = nn.Linear(16 * height * width, 120)
        self.fc2 = nn.Linear(120, 84)
        self.classifier = nn.Linear(84, num_classes)
        self.activation = make_activation(activation)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.conv1(images))  # C1 (B, 6, 28, 28)
        x = self.pool1(x)  # S2 (B, 6, 14, 14)
        x = self.activation(self.conv2(x))  # C3 (B, 16, 10, 10)
        x = self.pool2(x)  # S4 (B, 16, 5, 5)
        x = self.activation(self.fc1(x.flatten(1)))  # C5 (B, 120)
        x = self.activation(self.fc2(x))  # F6 (B, 84)
        logits: torch.Tensor = self.classifier(x)  # (B, K)
        return logits
