"""A control for depth: more layers with the same receptive field."""

from itertools import chain

from torch import nn

from cnnkit.models import CNN
from cnnkit.sizes import ImageSize


class MixingCNN(CNN):
    """The CNN with a 1x1 convolution, batch norm and ReLU after each layer: twice as deep, the same receptive field.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        channels: filters of every convolution, and of the 1x1 convolution after it.
        **kwargs: as for `CNN`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        channels: tuple[int, ...] = (29, 29),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_classes, image_size, channels, **kwargs)
        per_layer = len(self.features) // len(channels)  # convolution, norm, activation
        layers = [self.features[k : k + per_layer] for k in range(0, len(self.features), per_layer)]
        mixers = [
            nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for width in channels
        ]
        self.features = nn.Sequential(*chain.from_iterable(zip(layers, mixers, strict=True)))
