"""What a schedule will do to the learning rate, seen before training: it is moved over the run on a copy.

Refused is what no run can want: a negative or infinite rate, counts below zero, milestones out of order. What is merely
useless, such as a warm-up that the run never leaves, is said.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from cnnkit.errors import UserError
from cnnkit.optim.factories import class_and_arguments, name_of, signature_of, value_of
from cnnkit.optim.length import RunLength, SchedulePlan

MOST_MOVES = 5000  # a quarter of a second; a longer run is seen so far
_MAY_BE_NEGATIVE = ("noise_seed", "ub")  # a seed is any number; the upper bound of a tanh's argument
_ROUNDING = 1e-9  # of the highest rate: a cosine that torch computes from the rate before may end just below zero

Rates = list[list[float]]  # of every move, one a group


def refuse_senseless(key: str, factory: Callable[..., Any]) -> None:
    """Refuse negative arguments and milestones out of order, which torch's and timm's schedules mostly take in silence.

    A class of somebody else's may mean something by a negative number, and so does an argument whose default is one.

    Args:
        key: of the schedule, such as ``model.scheduler``.
        factory: its class, or a partial of it.

    Raises:
        UserError: naming the argument.
    """
    target, given = class_and_arguments(factory)
    if getattr(target, "__module__", "").partition(".")[0] not in ("torch", "timm", "cnnkit"):
        return
    parameters = signature_of(factory)
    for name, value in given.items():
        numbers = value if isinstance(value, (list, tuple)) else [value]
        default = parameters[name].default if name in parameters else None
        may_be = name in _MAY_BE_NEGATIVE or (isinstance(default, (int, float)) and default < 0)
        if may_be or not all(type(number) in (int, float) for number in numbers):
            continue
        if any(number < 0 for number in numbers):
            raise UserError(
                f"{key}.{name} is {value}: {name_of(factory)} counts and multiplies with it, so give no negative number"
            )
        if name in ("milestones", "decay_t") and list(numbers) != sorted(numbers):
            raise UserError(f"{key}.{name} is {list(numbers)}: give them in ascending order, {sorted(numbers)}")


def copy_groups(optimizer: Optimizer) -> Optimizer:
    """An optimizer with the same rates, whose groups hold one number each."""
    groups = [{**group, "params": [torch.zeros(1)]} for group in optimizer.param_groups]
    return Optimizer(groups, dict(optimizer.defaults))


def replay_rates(move: Callable[[int], None], optimizer: Optimizer, count: int) -> Rates:
    """The rates of the first steps or epochs of a run.

    Args:
        move: moves the schedule on, given how many steps or epochs are over.
        optimizer: the copy on which the schedule was built.
        count: steps or epochs of the run.

    Returns:
        Of each of them, at most `MOST_MOVES`; fewer where a move raises an error, which is not looked for here.
    """
    rates = [[float(group["lr"]) for group in optimizer.param_groups]]
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")  # that the optimizer made no step
        for over in range(1, min(count, MOST_MOVES)):
            move(over)
            rates.append([float(group["lr"]) for group in optimizer.param_groups])
    return rates


def find_senseless(rates: Rates) -> int | None:
    """The first step or epoch, counted from 0, whose rate is negative or no finite number."""
    highest = max((rate for of_groups in rates for rate in of_groups if math.isfinite(rate)), default=0.0)
    least = -_ROUNDING * abs(highest)
    wrong = (i for i, of_groups in enumerate(rates) if not all(math.isfinite(r) and r >= least for r in of_groups))
    return next(wrong, None)


def describe_useless(name: str, interval: str, rates: Rates, count: int) -> list[str]:
    """Sentences on a schedule that the run ends before it does anything, or that does nothing long before its end.

    Args:
        name: of the schedule.
        interval: ``step`` or ``epoch``.
        rates: see `replay_rates`.
        count: steps or epochs of the run.
    """
    if len(rates) < count:  # the run is longer than was looked at
        return []
    run = f"{count} {interval}{'s' * (count != 1)}"
    first: Sequence[float] = [of_groups[0] for of_groups in rates]
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
    factory: Callable[..., Any],
    built: Any,
    plan: SchedulePlan,
    length: Any,
    measure_run: Callable[[], RunLength | None],
) -> list[str]:
    """What is to be said where somebody gave a length or milestones that are not the run's.

    Raises:
        UserError: the run goes on after the last step of OneCycleLR, which then raises an error.
    """
    milestones = next((value_of(factory, name) for name in ("milestones", "decay_t")), None)
    last = max(milestones, default=0) if isinstance(milestones, (list, tuple)) else 0
    if plan.fills or not (length or last):
        return []
    run = measure_run()
    count = run and (run.steps if plan.interval == "step" else run.epochs)
    if count is None:
        return []
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
