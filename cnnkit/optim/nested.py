"""Schedules that consist of others: torch's SequentialLR (a warm-up, then a cosine) and ChainedScheduler.

torch takes the parts already built, on the optimizer; a configuration holds classes and arguments. So the parts are
built just before the whole, and a part whose length was left out gets the length of its stretch of the run.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.optim.factories import Factory, construct, plain_factory, read_argument, read_signature, split_factory
from cnnkit.optim.groups import divide_by_ratios
from cnnkit.optim.length import (
    Interval,
    MeasureRun,
    RunLength,
    SchedulePlan,
    counts_steps,
    length_arguments,
    plan_schedule,
)
from cnnkit.optim.preview import check_arguments

PARTS = "schedulers"


def has_parts(factory: Callable[..., Any]) -> bool:
    """Whether a schedule takes a list of other schedules."""
    return PARTS in read_signature(factory)


def plan_parts(factory: Factory, interval: Any) -> SchedulePlan:
    """Decide how a schedule of several parts moves: on every step if a part counts steps, else every epoch."""
    plan = plan_schedule(factory, interval)
    if interval != "auto" or not any(map(counts_steps, _read_parts(factory))):
        return plan
    return plan._replace(interval="step", rule="a part of it counts steps")


def build_nested(factory: Factory, optimizer: Optimizer, plan: SchedulePlan, measure_run: MeasureRun) -> Any:
    """Build the parts of a schedule and then the whole, all on one optimizer.

    Args:
        factory: factory of the whole.
        optimizer: its rates are scheduled.
        plan: plan of the whole.
        measure_run: called only if the length of a part follows from the run's.

    Raises:
        UserError: a part refuses an argument, or needs the length of a run without end.
    """
    parts = _read_parts(factory)
    built = []
    for number, (part, stretch) in enumerate(zip(parts, _stretches(factory, plan.interval, measure_run), strict=True)):
        filled = length_arguments(part, plan_schedule(part, plan.interval), stretch)
        key = f"model.scheduler.{PARTS}[{number}]"
        check_arguments(key, part)
        made = partial(divide_by_ratios(part, optimizer), **filled)
        built.append(construct(key, made, lambda made_by: made_by(optimizer)))
    target, arguments = split_factory(factory)
    return target(**{**arguments, PARTS: built, "optimizer": optimizer})


def _read_parts(factory: Factory) -> list[Factory]:
    parts = read_argument(factory, PARTS)
    if not isinstance(parts, (list, tuple)) or not parts or not all(callable(part) for part in parts):
        raise UserError(
            f"model.scheduler.{PARTS} is {parts}: give a list of schedules, each a class_path and init_args; in "
            "Python classes or partials, without the optimizer"
        )
    return [plain_factory(part) for part in parts]


def _stretches(factory: Factory, interval: Interval, measure_run: MeasureRun) -> list[MeasureRun]:
    """For every part, a function that returns the length of its stretch; all of the run for parts side by side."""
    count, milestones = len(_read_parts(factory)), read_argument(factory, "milestones")
    if milestones is None:
        return [measure_run] * count
    if len(milestones) != count - 1:
        raise UserError(f"model.scheduler.milestones are {list(milestones)}: give {count - 1}, one less than {PARTS}")

    def measure_last(start: int) -> RunLength | None:
        run = measure_run()
        return run and _between(start, run.count_moves(interval))

    starts = [0, *milestones]
    return [*(partial(_between, start, end) for start, end in pairwise(starts)), partial(measure_last, starts[-1])]


def _between(start: int, end: int) -> RunLength:
    """The length of a stretch, in the unit by which the schedule moves."""
    return RunLength(max(1, end - start), max(1, end - start))
