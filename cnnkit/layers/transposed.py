"""The convolution that makes images larger (Zeiler et al. 2010; Dumoulin & Visin 2016, arXiv 1603.07285, chapter 4)."""

from torch import nn

from cnnkit.errors import UserError
from cnnkit.layers.activation import ActivationName, make_activation
from cnnkit.layers.norm import NormName, make_norm


class TransposedConvNormAct(nn.Sequential):
    """Transposed convolution, normalization, activation: ``(B, in_channels, H, W) -> (B, out, stride H, stride W)``.

    A kernel that is a multiple of the stride covers all pixels equally often; others leave a checkerboard pattern
    (Odena et al. 2016, doi 10.23915/distill.00003).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the filters, in pixels; at least the stride, and both even or both odd.
        stride: factor by which the image becomes larger.
        norm: as in `ConvNormAct`.
        activation: as in `ConvNormAct`.

    Raises:
        UserError: no padding makes the output exactly ``stride`` times as large.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 4,
        stride: int = 2,
        norm: NormName = "batch",
        activation: ActivationName | None = "relu",
    ) -> None:
        padding, odd = divmod(kernel_size - stride, 2)
        if padding < 0 or odd:
            raise UserError(f"kernel_size {kernel_size} and stride {stride}: give both even or both odd, kernel first.")
        bias = norm != "batch"
        stages: list[nn.Module] = [
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        ]
        stages += [] if norm == "none" else [make_norm(norm, out_channels)]
        stages += [] if activation is None else [make_activation(activation)]
        super().__init__(*stages)
