"""Controls for local response normalization (LRN): each keeps one part of the layer and removes the other.

LRN divides by (k + alpha * energy)^0.75. On inputs of mean 0 and standard deviation 1, AlexNet's alpha = 1e-4 makes the
second term small compared with k = 2, so the layer is close to a division by 2^0.75.
"""

from typing import Literal

import torch
from torch import nn

from cnnkit.layers.norm import LocalResponseNorm
from cnnkit.models import CNN
from cnnkit.sizes import ImageSize

AT_REST = 2.0**-0.75  # AlexNet's LRN multiplies by this where all activations are 0


class Scale(nn.Module):
    """Multiplies by a constant.

    Args:
        factor: the constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Multiply images (B, C, H, W)."""
        return images * self.factor


class ControlledCNN(CNN):
    """The CNN with two more kinds of normalization; for one seed, all kinds have the same initial weights.

    Args:
        in_channels: channels of the images.
        num_classes: classes, one logit each.
        image_size: pixels, one number or (height, width).
        norm: as for `CNN`; or ``local_response_k1``: LRN with k = 1, which does not change small activations;
            or ``scale``: only a multiplication by 2^-0.75.
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
