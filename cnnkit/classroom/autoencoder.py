"""A convolutional autoencoder, as an example of transposed convolutions ("deconvolutions").

Convolutions with stride 2 make an image smaller (Masci et al. 2011), transposed convolutions make it larger again
(Zeiler et al. 2010). The net learns without labels. It is not a classifier, so it is not in `cnnkit.models`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers import ConvNormAct, TransposedConvNormAct


class Autoencoder(nn.Module):
    """Maps images to a code with a quarter of their values, and back to images.

    Shapes: ``(B, C, H, W) -> (B, 4 C, H/4, W/4) -> (B, C, H, W)``.

    Args:
        in_channels: channels of the images; height and width must be multiples of 4.
        width: channels of the hidden layers.

    Example:
        >>> net = Autoencoder()
        >>> net.encoder(torch.zeros(2, 1, 28, 28)).shape, net(torch.zeros(2, 1, 28, 28)).shape
        (torch.Size([2, 4, 7, 7]), torch.Size([2, 1, 28, 28]))
    """

    def __init__(self, in_channels: int = 1, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            ConvNormAct(in_channels, width, 4, stride=2),  # (B, 16, 14, 14)
            ConvNormAct(width, 4 * in_channels, 4, stride=2, norm="none", activation=None),  # (B, 4, 7, 7)
        )
        self.decoder = nn.Sequential(
            TransposedConvNormAct(4 * in_channels, width, 4, stride=2),  # (B, 16, 14, 14)
            TransposedConvNormAct(width, in_channels, 4, stride=2, norm="none", activation="sigmoid"),  # (B, 1, 28, 28)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) with values from 0 to 1 to their reconstructions."""
        reconstructed: Tensor = self.decoder(self.encoder(images))
        return reconstructed


class Reconstruction(NamedTuple):
    """A trained net and its mean squared errors on test images."""

    net: Autoencoder
    before: float
    """Error of the untrained net."""
    after: float
    """Error of the trained net."""
    mean_image: float
    """Error if the mean of all training images replaces each output."""


def train_autoencoder(
    train: Tensor, test: Tensor, steps: int = 200, batch_size: int = 64, lr: float = 3e-3, seed: int = 0
) -> Reconstruction:
    """Train an autoencoder with Adam.

    Args:
        train: uint8 images (N, C, H, W).
        test: uint8 images for the errors.
        steps: number of optimizer steps.
        batch_size: images per step.
        lr: learning rate.
        seed: seed of the weights and of the order of the images.

    Raises:
        UserError: height or width is not a multiple of 4.
    """
    if train.shape[2] % 4 or train.shape[3] % 4:
        raise UserError(f"the images have {train.shape[2]}x{train.shape[3]} pixels; give multiples of 4.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, unseen = Autoencoder(train.shape[1]), test.float() / 255
        optimizer = torch.optim.Adam(net.parameters(), lr)
        before = _compute_error(net, unseen)
        for _ in range(steps):
            images = train[torch.randint(len(train), (batch_size,))].float() / 255
            optimizer.zero_grad()
            F.mse_loss(net(images), images).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    mean = (train.float().mean(0) / 255).expand_as(unseen)
    return Reconstruction(net.eval(), before, _compute_error(net, unseen), F.mse_loss(mean, unseen).item())


@torch.no_grad()
def _compute_error(net: Autoencoder, images: Tensor) -> float:
    net.eval()
    error = F.mse_loss(net(images), images).item()
    net.train()
    return error
