"""Two learning-rate schedules whose length is that of the run.

Warm-up and cosine: Goyal et al. 2017, arXiv 1706.02677; Loshchilov & Hutter 2016, arXiv 1608.03983.
Triangle: Smith 2017, arXiv 1708.07120.
"""

import math
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from cnnkit.errors import UserError


class WarmupCosineLR(LambdaLR):
    """Linear warm-up to the optimizer's learning rate, then half a cosine down.

    A checkpoint does not hold the shape: a run that is resumed with other ``total_steps`` takes the new shape.

    Args:
        optimizer: optimizer whose learning rates are scheduled.
        total_steps: calls of ``step()`` in the whole run: training steps or epochs.
        warmup: share of the run that is warm-up, from 0 to 1.
        final: learning rate at the end, as a share of the highest.
        last_epoch: number of calls already made; -1 for a new run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup: float = 0.05,
        final: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _check(total_steps=total_steps, warmup=warmup)
        factor = partial(_warmup_cosine, total_steps=total_steps, warmup=warmup, final=final)
        super().__init__(optimizer, factor, last_epoch)


class TriangleLR(LambdaLR):
    """Linear rise to the optimizer's learning rate, then a linear fall.

    ``peak=0.23`` is the schedule of airbench94 (Jordan 2024, arXiv 2404.00498). A checkpoint does not hold the shape,
    see `WarmupCosineLR`.

    Args:
        optimizer: optimizer whose learning rates are scheduled.
        total_steps: calls of ``step()`` in the whole run: training steps or epochs.
        peak: point of the run at which the learning rate is highest, from 0 (start) to 1 (end).
        start: learning rate at the start, as a share of the highest.
        final: learning rate at the end, as a share of the highest.
        last_epoch: number of calls already made; -1 for a new run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        peak: float = 0.3,
        start: float = 0.2,
        final: float = 0.07,
        last_epoch: int = -1,
    ) -> None:
        _check(total_steps=total_steps, peak=peak)
        factor = partial(_triangle, total_steps=total_steps, peak=peak, start=start, final=final)
        super().__init__(optimizer, factor, last_epoch)


def _warmup_cosine(step: int, total_steps: int, warmup: float, final: float) -> float:
    rise = round(warmup * total_steps)
    if step < rise:
        return (step + 1) / (rise + 1)  # not 0, so that the first step trains, too
    progress = min(1.0, (step - rise) / max(1, total_steps - rise))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def _triangle(step: int, total_steps: int, peak: float, start: float, final: float) -> float:
    top = int(peak * total_steps)
    if step < top:
        return start + (1 - start) * step / top
    return 1 + (final - 1) * min(1.0, (step - top) / max(1, total_steps - top))


def _check(total_steps: int, **parts: float) -> None:
    if total_steps < 1:
        raise UserError(f"total_steps is {total_steps}; a schedule needs at least one step.")
    for name, part in parts.items():
        if not 0 <= part <= 1:
            raise UserError(f"{name} is {part}; give a part of the run between 0 and 1.")
