"""The plain convolutional net: several times convolution, pooling, ReLU, then fully connected layers.

The pattern of LeCun et al. 1998 with ReLU; by default the small net of many Fashion-MNIST courses (two 3x3
convolutions of 64 and 128 filters). Pooling comes before the activation: with maximum pooling the result is the same,
and the activation is computed on fewer pixels. With ``pool_every=2`` and padding 1 it is the pattern of VGG (Simonyan &
Zisserman 2014); ``global_pool`` is the head of network in network (Lin et al. 2013).
"""

from itertools import pairwise

import torch
from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers import (
    ActivationName,
    Dropout,
    NormName,
    PoolName,
    chain_output_size,
    make_activation,
    make_conv,
    make_norm,
    make_pool,
)
from cnnkit.recorded import Recorded
from cnnkit.sizes import ImageSize, Padding, PaddingMode, as_height_width


class CNN(Recorded, nn.Module):
    """Stages of convolution, normalization, pooling, ReLU, then a fully connected head; 716,706 parameters by default.

    A good net for CIFAR-10: ``CNN(3, 10, 32, channels=(64, 64, 128, 128, 256, 256), padding=1, norm="batch",
    pool_every=2, global_pool=True, hidden_sizes=())``.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        channels: filters of every convolution.
        kernel_size: side of the filters, in pixels.
        padding: pixels around every convolution's input; ``same`` keeps the image size at stride 1, ``valid`` adds
            none.
        stride: stride of every convolution.
        dilation: pixels from one filter weight to the next; 1 leaves no gaps (Yu & Koltun 2015, arXiv 1511.07122).
        pooling: max, avg, min or sum of a window, subsample (keeps one pixel of it), strided (a convolution learns it).
        pool_size: side of the pooling window and its stride, in pixels.
        pool_every: pool after every n-th convolution.
        norm: normalization after every convolution.
        global_pool: average over all pixels before the head, so that the head does not depend on the image size.
        hidden_sizes: units of every hidden layer of the head; may be empty.
        dropout: probability of dropping an input of each fully connected layer in training.
        activation: activation function after every pooling, every convolution without pooling, and every hidden layer.
        bias: whether the convolutions have a bias; by default they have one unless batch norm follows.
        padding_mode: values of the padding: zeros, the mirrored image (reflect), its repeated edge (replicate), or its
            opposite side (circular).
        pool_dilation: pixels from one value of a pooling window to the next.

    Raises:
        UserError: the image is too small for the layers, or an argument is out of range.

    Example:
        >>> CNN(3, 10, 32, channels=(5, 10), kernel_size=5, hidden_sizes=(32,))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        image_size: ImageSize = 28,
        channels: tuple[int, ...] = (64, 128),
        kernel_size: int = 3,
        padding: Padding = 0,
        stride: int = 1,
        dilation: int = 1,
        pooling: PoolName = "max",
        pool_size: int = 2,
        pool_every: int = 1,
        norm: NormName = "none",
        global_pool: bool = False,
        hidden_sizes: tuple[int, ...] = (200,),
        dropout: float = 0.0,
        activation: ActivationName = "relu",
        bias: bool | None = None,
        padding_mode: PaddingMode = "zeros",
        pool_dilation: int = 1,
    ) -> None:
        super().__init__()
        if pool_every < 1 or not channels:
            raise UserError(f"channels is {channels} and pool_every {pool_every}; a CNN needs at least one of each.")
        self.in_channels, self.num_classes, self.image_size = in_channels, num_classes, as_height_width(image_size)

        with_bias = norm != "batch" if bias is None else bias
        features: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise((in_channels, *channels)), start=1):
            features += [make_conv(before, after, kernel_size, stride, padding, dilation, 1, with_bias, padding_mode)]
            features += [] if norm == "none" else [make_norm(norm, after)]
            features += [make_pool(pooling, pool_size, after, pool_dilation)] if index % pool_every == 0 else []
            features += [make_activation(activation)]
        self.features = nn.Sequential(*features)

        height, width = chain_output_size("CNN", image_size, self.features)
        head: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if global_pool else []
        head += [nn.Flatten()]
        sizes = (channels[-1] if global_pool else channels[-1] * height * width, *hidden_sizes, num_classes)
        for before, after in pairwise(sizes):
            head += [Dropout(dropout)] if dropout else []
            head += [nn.Linear(before, after), make_activation(activation)]
        self.head = nn.Sequential(*head[:-1])  # no activation on the logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.features(images)  # (B, 1, 28, 28) -> (B, 64, 13, 13) -> (B, 128, 5, 5)
        logits: torch.Tensor = self.head(maps)  # (B, 3200) -> (B, 200) -> (B, K)
        return logits
