"""Which floating-point precision trains fastest here without changing results: asked of the machine, not assumed.

bfloat16 has float32's range and needs no loss scaling (Kalamkar et al. 2019, arXiv 1905.12322). On a CPU it is faster
only with instructions for it, and some releases of torch take a slow path even there; hence the probe.
"""

import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from cnnkit.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
VARIABLE = "CNNKIT_PRECISION"
_WORTHWHILE = 1.1  # bfloat16 must be this much faster
_TOLERANCE = 0.02  # relative, in the 2-norm: five times the rounding error 2^-8 of one bfloat16 number


class PrecisionChoice(NamedTuple):
    """A precision for Lightning's Trainer, and why."""

    precision: str
    reason: str


def default_precision(accelerator: str = "auto") -> PrecisionChoice:
    """Choose ``bf16-mixed`` where it is faster, else ``32-true``.

    The environment variable ``CNNKIT_PRECISION`` overrides the choice. On a CPU with bfloat16 instructions a
    convolution is timed in both precisions, for some 0.2 s once a process.

    Args:
        accelerator: Lightning's name of the device: auto, gpu, cuda, mps, cpu, ...

    Raises:
        UserError: ``CNNKIT_PRECISION`` is none of Lightning's precisions.
    """
    wish = os.environ.get(VARIABLE)
    if wish:
        if wish not in PRECISIONS:
            raise UserError(f"{VARIABLE} is {wish!r}; unset it or choose one of {', '.join(PRECISIONS)}.")
        return PrecisionChoice(wish, f"set by {VARIABLE}")
    device = _device(accelerator)
    if device == "cuda":
        return _cuda_choice()
    if device == "cpu":
        return _cpu_choice()
    return PrecisionChoice("32-true", f"bfloat16 is not tried on {device}")


def _device(accelerator: str) -> str:
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def _cuda_choice() -> PrecisionChoice:
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        return PrecisionChoice("bf16-mixed", "the GPU computes in bfloat16")
    return PrecisionChoice("32-true", "the GPU has no bfloat16; 16-mixed may be faster")


@cache
def _cpu_choice() -> PrecisionChoice:
    if not _cpu_has_bf16():
        return PrecisionChoice("32-true", "the CPU has no bfloat16 instructions of AVX-512 or AMX")
    ratio, error = _probe()
    if not error <= _TOLERANCE:  # NaN too
        return PrecisionChoice("32-true", f"bfloat16 convolutions on this CPU are off by {error:.1%}")
    measured = f"a bfloat16 convolution ran {ratio:.1f} times as fast as float32 on this CPU"
    return PrecisionChoice("bf16-mixed" if ratio >= _WORTHWHILE else "32-true", measured)


def _cpu_has_bf16() -> bool:
    """Ask torch for the CPU's flags (private functions, so they may be missing), else the kernel."""
    asked = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    if all(callable(ask) for ask in asked):
        return any(ask() for ask in asked if ask is not None)
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace").split() if info.exists() else []
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


def _probe(budget_s: float = 0.15) -> tuple[float, float]:
    """Time a 3x3 convolution, forward and backward, in turns; return float32's best over bf16's best, and the error.

    On one thread: with more, another process on one of the cores makes both wait for each other at every kernel's end,
    and the ratio then counts kernels. Torch's random state, grad mode and number of threads are left as they were.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _compare(budget_s)
    finally:
        torch.set_num_threads(threads)


def _compare(budget_s: float) -> tuple[float, float]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(16, 32, 16, 16, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(64, 32, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    images.requires_grad_()
    weight.requires_grad_()
    exact, rounded = _convolve(images, weight, False)[1], _convolve(images, weight, True)[1]  # also warms up
    error = max(float((a - b).norm() / a.norm()) for a, b in zip(exact, rounded, strict=True))
    best = {False: float("inf"), True: float("inf")}
    end = time.perf_counter() + budget_s
    while time.perf_counter() < end:
        for bf16 in best:
            best[bf16] = min(best[bf16], _convolve(images, weight, bf16)[0])
    return best[False] / best[True], error


def _convolve(images: torch.Tensor, weight: torch.Tensor, bf16: bool) -> tuple[float, list[torch.Tensor]]:
    """Return the seconds of one forward and backward pass, and its output and gradients in float32."""
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = F.conv2d(images, weight, padding=1)
    # Not with grad_outputs, for which torch imports a computer algebra system (0.4 s).
    gradients = torch.autograd.grad(output.sum(), (images, weight))
    seconds = time.perf_counter() - start
    return seconds, [tensor.detach().float() for tensor in (output, *gradients)]
