"""Schedules that are made of others: torch's SequentialLR (a warm-up, then a cosine) and ChainedScheduler.

Torch wants the parts built, on the optimizer; a configuration has classes and arguments. Here they are built just
before the whole, and parts whose length was left out get that of their stretch.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.optim.factories import class_and_arguments, plain_factory, signature_of, value_of
from cnnkit.optim.foresight import refuse_senseless
from cnnkit.optim.length import Interval, RunLength, SchedulePlan, counts, length_arguments, plan_schedule
from cnnkit.optim.rates import divide_by_ratios
from cnnkit.optim.refusals import construct

PARTS = "schedulers"


def has_parts(factory: Callable[..., Any]) -> bool:
    """Whether a schedule takes the schedules that it is made of."""
    return PARTS in signature_of(factory)


def plan_parts(factory: Callable[..., Any], interval: Any) -> SchedulePlan:
    """Say how a schedule of several parts moves: on every step if a part counts steps, else every epoch."""
    plan = plan_schedule(factory, interval)
    if interval != "auto" or not any(counts(part) == "step" for part in _parts(factory)):
        return plan
    return plan._replace(interval="step", rule="a part of it counts steps")


def build_parts(
    factory: Callable[..., Any],
    optimizer: Optimizer,
    plan: SchedulePlan,
    measure_run: Callable[[], RunLength | None],
) -> Callable[[Optimizer], Any]:
    """Return a factory of the whole with its parts built on the optimizer.

    Args:
        factory: of the whole.
        optimizer: of all of them.
        plan: of the whole.
        measure_run: as in `length_arguments`; asked once if the last stretch ends with the run.

    Raises:
        UserError: a part refuses an argument, or needs the length of a run that has none.
    """
    parts = _parts(factory)
    stretches = _stretches(factory, len(parts), plan.interval, measure_run)
    built = []
    for number, (part, stretch) in enumerate(zip(parts, stretches, strict=True)):
        own = plan_schedule(part, plan.interval)
        made = partial(divide_by_ratios(part, optimizer), **length_arguments(part, own, stretch))
        key = f"model.scheduler.{PARTS}[{number}]"
        refuse_senseless(key, part)
        built.append(construct(key, made, lambda made_by: made_by(optimizer)))
    target, given = class_and_arguments(factory)
    others = {name: value for name, value in given.items() if name not in (PARTS, "optimizer")}
    return lambda optimizer: target(**{**others, PARTS: built, "optimizer": optimizer})


def _parts(factory: Callable[..., Any]) -> list[Callable[..., Any]]:
    parts = value_of(factory, PARTS)
    if not isinstance(parts, (list, tuple)) or not parts or not all(callable(part) for part in parts):
        raise UserError(
            f"model.scheduler.{PARTS} is {parts}: give a list of schedules, each a class_path and init_args; in "
            "Python classes or partials, without the optimizer"
        )
    return [plain_factory(part) for part in parts]


def _stretches(
    factory: Callable[..., Any], count: int, interval: Interval, measure_run: Callable[[], RunLength | None]
) -> list[Callable[[], RunLength | None]]:
    """For every part, a function that returns the length of its stretch, the whole run for parts side by side."""
    ends = value_of(factory, "milestones")
    if ends is None:
        return [measure_run] * count
    if len(ends) != count - 1:
        raise UserError(f"model.scheduler.milestones are {list(ends)}: give {count - 1}, one less than {PARTS}")

    def last(start: int) -> RunLength | None:
        run = measure_run()
        return run and _between(start, run.steps if interval == "step" else run.epochs)

    bounds = pairwise([0, *ends])
    return [partial(_between, start, end) for start, end in bounds] + [partial(last, [0, *ends][-1])]


def _between(start: int, end: int) -> RunLength:
    """The length of a stretch, which is in whatever the schedule moves by."""
    return RunLength(max(1, end - start), max(1, end - start))
