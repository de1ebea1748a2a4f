"""The multilayer perceptron: the baseline that does not use the order of the pixels.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature 323, 1986.
Differences: ReLU instead of sigmoid (Glorot et al. 2011), optional dropout (Srivastava et al. 2014).
"""

import torch
from torch import nn

from cnnkit.layers import ActivationName, Dropout, make_activation
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, as_height_width


class MLP(Recorded, nn.Module):
    """Fully connected net over all pixels: 795,010 parameters by default.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        hidden_sizes: units of every hidden layer; an empty list gives multinomial logistic regression.
        dropout: probability of dropping a hidden unit in training.
        activation: activation function after every hidden layer.

    Example:
        >>> MLP()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: ImageSize = 28,
        hidden_sizes: tuple[int, ...] = (1000,),
        dropout: float = 0.0,
        activation: ActivationName = "relu",
    ) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)
        hidden: list[nn.Module] = []
        width = in_channels * self.image_size[0] * self.image_size[1]
        for size in hidden_sizes:
            hidden += [nn.Linear(width, size), make_activation(activation)]
            hidden += [Dropout(dropout)] if dropout else []
            width = size
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(*hidden)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = self.flatten(images)  # (B, C * H * W): (B, 784)
        units = self.hidden(pixels)  # (B, hidden_sizes[-1]): (B, 1000)
        logits: torch.Tensor = self.classifier(units)  # (B, K)
        return logits
