"""The floating-point precision of a training: a function of machine and net, so that a repeated run gets the same.

bfloat16 has float32's range and needs no loss scaling (Kalamkar et al. 2019, arXiv 1905.12322). The choice does not
measure time, which on a busy machine would change it, and the scores with it.
"""

import os
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from cnnkit.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
VARIABLE = "CNNKIT_PRECISION"
_TOLERANCE = 0.02  # relative, in the 2-norm: five times the rounding error 2^-8 of one bfloat16 number
_MOSTLY = 0.5  # share of depthwise convolutions from which a CPU is faster in float32, see docs/scaling.md
_SHORT = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "64": "64-true"}  # as Lightning reads them


class PrecisionChoice(NamedTuple):
    """A precision for Lightning's Trainer, and why."""

    precision: str
    reason: str


def default_precision(accelerator: str = "auto", net: nn.Module | None = None) -> PrecisionChoice:
    """Choose ``bf16-mixed`` if machine and net compute it fast and correctly, else ``32-true``.

    A CPU needs AVX-512 or AMX instructions for bfloat16, and a convolution must agree with float32 in output and
    gradients; and most convolutions of the net must not be depthwise. The environment variable ``CNNKIT_PRECISION``
    overrides the choice.

    Args:
        accelerator: Lightning's name of the device: auto, gpu, cuda, mps, cpu, ...
        net: the net to train; without it only the machine decides.

    Raises:
        UserError: ``CNNKIT_PRECISION`` is none of Lightning's precisions.
    """
    wish = os.environ.get(VARIABLE)
    device = resolve_device(accelerator)
    if wish:
        if wish not in PRECISIONS:
            raise UserError(f"{VARIABLE} is {wish!r}; unset it or choose one of {', '.join(PRECISIONS)}.")
        used = resolve_precision(wish, accelerator)
        return PrecisionChoice(used, f"set by {VARIABLE}" + ("" if used == wish else f" to {wish}"))
    if device == "cuda":
        return _cuda_choice()
    if device == "cpu":
        return _cpu_choice(net)
    return PrecisionChoice("32-true", f"bfloat16 is not tried on {device}")


def resolve_precision(precision: str | int, accelerator: str = "auto") -> str:
    """Return the precision in which Lightning's Trainer computes for a given argument.

    Args:
        precision: the argument, in any of Lightning's spellings.
        accelerator: as in `default_precision`.

    Example:
        >>> resolve_precision("16-mixed", "cpu"), resolve_precision(32, "cpu")
        ('bf16-mixed', '32-true')
    """
    full = _SHORT.get(str(precision), str(precision))
    # On a CPU, float16 autocast would serve inference only, so Lightning replaces it by bfloat16.
    return "bf16-mixed" if full == "16-mixed" and resolve_device(accelerator) == "cpu" else full


def describe_slow_precision(precision: str, accelerator: str | object = "auto") -> list[str]:
    """Return a note for the user if a device computes in a precision, but too slowly to be of use.

    The backward pass of a float16 convolution took a CPU with AVX-512 instructions for float16 15 times (16 channels,
    8x8 pixels) to 300 times (64 channels, 16x16) as long as in float32; its kernel is not vectorized (torch 2.15).
    """
    if precision != "16-true" or not isinstance(accelerator, str) or resolve_device(accelerator) != "cpu":
        return []
    return [
        "precision 16-true: torch computes gradients of float16 convolutions on a CPU some hundred times slower than "
        "in float32; bf16-true takes as little memory and is fast"
    ]


def resolve_device(accelerator: str) -> str:
    """Return the kind of device that Lightning's name of an accelerator stands for on this machine."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def compute_depthwise_share(net: nn.Module) -> float:
    """Compute the share of depthwise convolutions (at least one filter for each channel) among those larger than 1x1.

    Example:
        >>> compute_depthwise_share(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 9, 1)))
        0.5
    """
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    spatial = [m for m in net.modules() if isinstance(m, kinds) and max(m.kernel_size) > 1]
    depthwise = [m for m in spatial if m.groups == m.in_channels > 1]
    return len(depthwise) / len(spatial) if spatial else 0.0


def _cuda_choice() -> PrecisionChoice:
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        return PrecisionChoice("bf16-mixed", "the GPU computes in bfloat16")
    return PrecisionChoice("32-true", "the GPU has no bfloat16; 16-mixed may be faster")


def _cpu_choice(net: nn.Module | None) -> PrecisionChoice:
    if not _cpu_has_bf16():
        return PrecisionChoice("32-true", "the CPU has no bfloat16 instructions of AVX-512 or AMX")
    if net is not None and (share := compute_depthwise_share(net)) > _MOSTLY:
        why = "which a CPU trains faster in float32"
        return PrecisionChoice("32-true", f"{share:.0%} of the net's convolutions are depthwise, {why}")
    error = _bf16_error()
    if not error <= _TOLERANCE:  # NaN too
        return PrecisionChoice("32-true", f"bfloat16 convolutions on this CPU are off by {error:.1%}")
    return PrecisionChoice("bf16-mixed", "the CPU has bfloat16 instructions")


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))


@cache
def _bf16_error() -> float:
    """Error of a bfloat16 convolution against float32, in output and gradients: the largest relative 2-norm.

    Some releases of torch were wrong here. torch's random state and grad mode do not change.
    """
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(4, 16, 8, 8, generator=generator).to(memory_format=torch.channels_last)
        weight = torch.randn(32, 16, 3, 3, generator=generator).to(memory_format=torch.channels_last)
        images.requires_grad_()
        weight.requires_grad_()
        pairs = zip(_convolve(images, weight, False), _convolve(images, weight, True), strict=True)
        return max(float((exact - rounded).norm() / exact.norm()) for exact, rounded in pairs)


def _convolve(images: torch.Tensor, weight: torch.Tensor, bf16: bool) -> list[torch.Tensor]:
    """Output and gradients of one forward and backward pass, in float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = F.conv2d(images, weight, padding=1)
    # Not with grad_outputs, for which torch imports a computer algebra system (0.4 s).
    gradients = torch.autograd.grad(output.sum(), (images, weight))
    return [tensor.detach().float() for tensor in (output, *gradients)]
