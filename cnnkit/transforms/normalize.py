"""Turns stored pixels into the input of a net: float32, zero mean, unit variance, channels_last."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError


class Normalize(nn.Module):
    """Scale pixels to [0, 1], subtract each channel's mean and divide by its standard deviation.

    The result is in channels_last memory format, with which convolutions are faster. With one channel only its strides
    show that.

    Args:
        mean: one mean a channel, of pixels in [0, 1].
        std: one standard deviation a channel.

    Raises:
        UserError: the two differ in length, a deviation is not positive, or images have other channels.

    Example:
        >>> Normalize(mean=[0.5], std=[0.25])(torch.zeros(1, 1, 1, 2, dtype=torch.uint8))
        tensor([[[[-2., -2.]]]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not mean or len(mean) != len(std):
            raise UserError(f"Normalize: mean and std must have one number a channel, got {mean!r} and {std!r}.")
        if not all(deviation > 0 for deviation in std):
            raise UserError(f"Normalize: each std must be above 0, got {std!r}.")
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self._constants: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C, H, W) float32 in channels_last memory format.

        Args:
            images: (B, C, H, W), uint8 in 0..255 or floating point in [0, 1].
        """
        batch, channels, height, width = images.shape
        if channels != len(self.mean):
            raise UserError(f"Normalize: there are {len(self.mean)} means, but images have {channels} channels.")
        is_bytes = images.dtype == torch.uint8
        # On a CPU it is twice as fast to interleave the channels first, as bytes, and to compute on long rows then, as
        # to compute on planes with a channels_last result; and stack is twice as fast as a permuted copy.
        interleaved = images.is_contiguous(memory_format=torch.channels_last)
        nhwc = images.permute(0, 2, 3, 1) if interleaved else torch.stack(images.unbind(1), dim=-1)
        pixels = nhwc.reshape(batch, -1).to(torch.float32)
        shift, scale = (row.repeat(height * width) for row in self._on(images.device))
        if is_bytes:
            torch.addcmul(shift, pixels, scale.div_(255), out=pixels)
        else:
            pixels = torch.addcmul(shift, pixels, scale)
        return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Shift and scale (C,), copied to a device once."""
        if device not in self._constants:
            shift = [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]
            scale = [1 / std for std in self.std]
            self._constants[device] = torch.tensor(shift, device=device), torch.tensor(scale, device=device)
        return self._constants[device]

    def extra_repr(self) -> str:
        return f"mean={self.mean}, std={self.std}"
