"""Groups of parameters that train at a fixed part of the learning rate, whatever the schedule does to it.

Fine-tuning gives lower layers lower rates (Howard & Ruder 2018, arXiv 1801.06146). Schedules, however, know absolute
rates, such as ``eta_min`` or ``max_lr``, which they give to every group alike. So a schedule here moves one rate for
all groups, and each group trains at its part of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.optim.factories import class_and_arguments

RATIO, COMMON = "lr_ratio", "lr_common"


def scale_rates(optimizer: Optimizer) -> None:
    """Turn every group's ``lr_scale``, or rate of its own, into a ratio to the optimizer's rate that schedules keep.

    Raises:
        UserError: a group is to train at a part of the rate, and the optimizer has none.

    Example:
        >>> import torch
        >>> groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr_scale": 0.1}]
        >>> optimizer = torch.optim.SGD(groups, lr=0.5)
        >>> scale_rates(optimizer)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.5, 0.05]
    """
    usual = optimizer.defaults.get("lr")
    scales = [group.pop("lr_scale", 1.0) for group in optimizer.param_groups]
    if not isinstance(usual, (int, float)):
        if any(scale != 1 for scale in scales):
            raise UserError(
                f"model.optimizer: {type(optimizer).__name__} has no lr of which a group of parameters could get a "
                "part: give it an lr"
            )
        return
    rates = [group["lr"] * scale for group, scale in zip(optimizer.param_groups, scales, strict=True)]
    if all(rate == usual for rate in rates):
        return
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if usual:
            group.update({RATIO: rate / usual, COMMON: float(usual)})


@contextmanager
def common_rates(optimizer: Optimizer) -> Iterator[None]:
    """Show a schedule the rates that it gave, without the groups' ratios, while it is built or moves.

    Example:
        >>> import torch
        >>> groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr_scale": 0.5}]
        >>> optimizer = torch.optim.SGD(groups, lr=1.0)
        >>> scale_rates(optimizer)
        >>> with common_rates(optimizer):
        ...     schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2, eta_min=0.2)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     with common_rates(optimizer):
        ...         schedule.step()
        >>> [round(group["lr"], 3) for group in optimizer.param_groups]
        [0.2, 0.1]
    """
    scaled = [group for group in optimizer.param_groups if RATIO in group]
    for group in scaled:
        group["lr"] = group[COMMON]
    yield
    for group in scaled:
        group[COMMON] = group["lr"]
        group["lr"] = group[COMMON] * group[RATIO]


def divide_by_ratios(scheduler: Callable[..., Any], optimizer: Optimizer) -> Callable[..., Any]:
    """Take a list of rates, one for each group, for what it says: the ratios will be multiplied on again."""
    ratios = [group.get(RATIO, 1.0) for group in optimizer.param_groups]
    _, given = class_and_arguments(scheduler)
    lists = {
        name: [rate / ratio for rate, ratio in zip(rates, ratios, strict=True)]
        for name, rates in given.items()
        if name.endswith("_lr") and isinstance(rates, (list, tuple)) and len(rates) == len(ratios)
    }
    return partial(scheduler, **lists) if lists and any(ratio != 1 for ratio in ratios) else scheduler
