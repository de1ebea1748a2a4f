"""Controls for local response normalization: the same net with one thing less.

On inputs of mean 0 and standard deviation 1 the energy that AlexNet's constants weigh with alpha = 1e-4 is small
against k = 2, so the layer is close to a division by 2^0.75. Each control keeps one of the two and drops the other.
"""

from typing import Literal

import torch
from torch import nn

from cnnkit.layers import ImageSize
from cnnkit.layers.norm import LocalResponseNorm
from cnnkit.models import CNN

AT_REST = 2.0**-0.75  # what AlexNet's local response normalization multiplies by where all activations are 0


class Scale(nn.Module):
    """Multiplies by a constant.

    Args:
        factor: the constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scale ``(B, C, H, W)``."""
        return images * self.factor


class ControlledCNN(CNN):
    """The CNN with two more kinds of normalization, which have the same initial weights for a seed.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        norm: as for `CNN`; or ``local_response_k1``: with k = 1, which leaves activations of no energy as they are;
            or ``scale``: multiplication by 2^-0.75 alone.
        **kwargs: as for `CNN`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: ImageSize = 32,
        norm: Literal["none", "batch", "local_response", "local_response_k1", "scale"] = "none",
        **kwargs,
    ) -> None:
        plain = "local_response" if norm in ("local_response_k1", "scale") else norm
        super().__init__(in_channels, num_classes, image_size, norm=plain, **kwargs)
        for name, module in list(self.named_modules()):
            if isinstance(module, LocalResponseNorm) and norm != "local_response":
                self.set_submodule(name, Scale(AT_REST) if norm == "scale" else LocalResponseNorm(k=1.0))
