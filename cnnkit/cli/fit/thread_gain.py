"""Says when the other threads of a fit bring little: a small net spends its time at their barriers."""

import copy
import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnkit.notices import say
from cnnkit.sizes import as_height_width

LONGEST = 0.008  # seconds of a step; a longer one has work for two threads, and measuring it would delay the fit
LITTLE = 1.15  # times the speed of one thread
_ROUNDS, _STEPS = 2, 3


def say_if_threads_bring_little(net: Any, data: Any, precision: str) -> None:
    """Time training steps of a copy of a net with all threads and with one, and say in a line if one is enough.

    Nothing that decides the numbers of the run changes: neither the net, nor torch's random state, nor its threads.
    A net with long steps is not measured, nor one that is no map from images to logits, such as a net of the user's
    own that only its task knows how to call.

    Args:
        net: maps images (B, C, H, W) to logits (B, K).
        data: has ``batch_size`` and ``shape``, as `cnnkit.data.ImageDataModule` has.
        precision: Lightning's name.
    """
    threads = torch.get_num_threads()
    size, shape = getattr(data, "batch_size", None), getattr(data, "shape", None)
    if threads == 1 or precision not in ("32-true", "bf16-mixed") or not isinstance(net, nn.Module):
        return
    if not isinstance(size, int) or not isinstance(shape, dict) or not any(p.requires_grad for p in net.parameters()):
        return
    images = torch.zeros(size, shape["in_channels"], *as_height_width(shape["image_size"]))
    images = images.to(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        images.normal_()
        try:
            seconds = measure_step(copy.deepcopy(net), images, precision, (threads, 1))
        except Exception:  # what is wrong with the net, if anything is, the training says
            return
    if seconds and seconds[1] < LITTLE * seconds[threads]:
        say(describe_little_gain(seconds[1], seconds[threads], threads))


def measure_step(net: nn.Module, images: Tensor, precision: str, counts: tuple[int, ...]) -> dict[int, float]:
    """Time forward and backward pass of a net, in turn with several numbers of threads.

    Args:
        net: its gradients and the statistics of its norms change.
        images: (B, C, H, W).
        precision: ``32-true`` or ``bf16-mixed``.
        counts: the numbers of threads.

    Returns:
        Median seconds of a step by the number of threads; empty if a step takes longer than `LONGEST`.
    """
    before = torch.get_num_threads()
    found: dict[int, list[float]] = {count: [] for count in counts}
    try:
        # A few images first, because a whole batch of a large net may take seconds; and each size once to warm up.
        for part in (images[:2], images):
            _time_steps(net, part, precision, 1)
            if _time_steps(net, part, precision, 1) > LONGEST:
                return {}
        for _ in range(_ROUNDS):
            for count, times in found.items():
                torch.set_num_threads(count)
                _time_steps(net, images, precision, 1)
                times.append(_time_steps(net, images, precision, _STEPS))
    finally:
        torch.set_num_threads(before)
    return {count: statistics.median(times) for count, times in found.items()}


def _time_steps(net: nn.Module, images: Tensor, precision: str, steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            logits = net(images)
            loss = F.cross_entropy(logits.float(), torch.zeros(len(images), dtype=torch.long))
        loss.backward()  # type: ignore[no-untyped-call]
        net.zero_grad()
    return (time.perf_counter() - began) / steps


def describe_little_gain(alone: float, together: float, threads: int) -> str:
    """Say in one line what more threads bring.

    Args:
        alone: seconds of a step with one thread.
        together: seconds of a step with all threads.
        threads: how many these are.

    Example:
        >>> describe_little_gain(0.0046, 0.0051, 2)
        '2 threads train this net 0.9 times as fast as one (5.1 and 4.6 ms a step): OMP_NUM_THREADS=1 leaves cores free'
    """
    return (
        f"{threads} threads train this net {alone / together:.2g} times as fast as one ({1000 * together:.1f} and "
        f"{1000 * alone:.1f} ms a step): OMP_NUM_THREADS=1 leaves cores free"
    )
