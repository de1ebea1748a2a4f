"""What a schedule will do to the learning rate, found before training: it moves over the whole run on a copy.

A negative or infinite rate, a negative count and milestones out of order are refused. A schedule that is only useless,
such as a warm-up that is longer than the run, gives a note.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from cnnkit.errors import UserError
from cnnkit.optim.factories import Factory, read_argument, read_name, read_signature, split_factory
from cnnkit.optim.length import MeasureRun, SchedulePlan

MOST_MOVES = 5000  # a quarter of a second; the rest of a longer run is not looked at
_MAY_BE_NEGATIVE = ("noise_seed", "ub")  # a seed is any number; the upper bound of a tanh's argument
_ROUNDING = 1e-9  # of the highest rate: a cosine that torch computes from the rate before may end just below zero

Rates = list[list[float]]
"""For every step or epoch, the rate of each parameter group."""


def check_arguments(key: str, factory: Callable[..., Any]) -> None:
    """Refuse negative arguments and milestones out of order, which most schedules of torch and timm do not check.

    Classes of other packages are not checked, nor are arguments whose default is negative.

    Args:
        key: key of the schedule, such as ``model.scheduler``.
        factory: its class, or a partial of it.

    Raises:
        UserError: an argument is negative or out of order.
    """
    target, arguments = split_factory(factory)
    if getattr(target, "__module__", "").partition(".")[0] not in ("torch", "timm", "cnnkit"):
        return
    parameters = read_signature(factory)
    for name, value in arguments.items():
        numbers = value if isinstance(value, (list, tuple)) else [value]
        default = parameters[name].default if name in parameters else None
        may_be_negative = name in _MAY_BE_NEGATIVE or (isinstance(default, (int, float)) and default < 0)
        if may_be_negative or not all(type(number) in (int, float) for number in numbers):
            continue
        if any(number < 0 for number in numbers):
            raise UserError(
                f"{key}.{name} is {value}: {read_name(factory)} counts and multiplies with it, so give no negative "
                "number"
            )
        if name in ("milestones", "decay_t") and list(numbers) != sorted(numbers):
            raise UserError(f"{key}.{name} is {list(numbers)}: give them in ascending order, {sorted(numbers)}")


def copy_groups(optimizer: Optimizer) -> Optimizer:
    """Build an optimizer with the same rates and with groups of one number each."""
    groups = [{**group, "params": [torch.zeros(1)]} for group in optimizer.param_groups]
    return Optimizer(groups, dict(optimizer.defaults))


def find_invalid_rate(rates: Rates) -> int | None:
    """Return the first step or epoch, counted from 0, with a rate that is negative or no finite number."""
    highest = max((rate for of_groups in rates for rate in of_groups if math.isfinite(rate)), default=0.0)
    least = -_ROUNDING * abs(highest)
    invalid = (i for i, of_groups in enumerate(rates) if not all(math.isfinite(r) and r >= least for r in of_groups))
    return next(invalid, None)


def describe_useless(name: str, interval: str, rates: Rates, count: int) -> list[str]:
    """Describe a schedule that changes nothing in this run, only rises, or stays at 0 long before the end.

    Args:
        name: of the schedule.
        interval: ``step`` or ``epoch``.
        rates: its rates over the run.
        count: steps or epochs of the run.
    """
    if len(rates) < count:  # the preview ends before the run does
        return []
    run = f"{count} {interval}{'s' * (count != 1)}"
    first = [of_groups[0] for of_groups in rates]
    if all(of_groups == rates[0] for of_groups in rates):
        return [f"{name} never changes the learning rate in this run of {run}"]
    if first[-1] > first[-2] and all(before <= after for before, after in pairwise(first)):
        return [f"{name} raises the learning rate to the very end of this run of {run}"]
    idle = next((i for i, rate in enumerate(reversed(first)) if rate > 0), count)
    if idle > max(1, count // 50):
        return [
            f"{name} has brought the learning rate to 0 by {interval} {count - idle} of {run}: the rest trains nothing"
        ]
    return []


def compare_lengths(
    factory: Factory, built: Any, plan: SchedulePlan, length: Any, measure_run: MeasureRun
) -> list[str]:
    """Describe a length or milestones that the user gave and that differ from the run's.

    Raises:
        UserError: OneCycleLR is shorter than the run; it raises an error after its last step.
    """
    milestones = read_argument(factory, "milestones")
    last = max(milestones, default=0) if isinstance(milestones, (list, tuple)) else 0
    run = measure_run() if not plan.fills and (length or last) else None
    if run is None:
        return []
    count = run.count_moves(plan.interval)
    if isinstance(built, OneCycleLR) and built.total_steps < count:
        raise UserError(
            f"model.scheduler.{plan.argument} is {built.total_steps}, but the run has {count} {plan.interval}s, and "
            "OneCycleLR ends with its last: leave its length out to have it filled in"
        )
    if last >= count:
        return [f"{plan.name} has a milestone at {last}; the run ends after {count} {plan.interval}s"]
    if plan.argument and isinstance(length, int) and length != count:
        return [f"{plan.name} has {plan.argument} {length}; the run has {count} {plan.interval}s"]
    return []
