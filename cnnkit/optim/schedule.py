"""Learning-rate schedules: built for a run of known length, moved by step or epoch, torch's and timm's alike."""

import warnings
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count as count_up
from itertools import islice
from typing import Any, NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnkit.errors import UserError
from cnnkit.optim.factories import Factory, construct, find_refused, read_argument, read_name, read_signature
from cnnkit.optim.groups import common_rates, divide_by_ratios
from cnnkit.optim.length import UNKNOWN, Interval, MeasureRun, length_arguments, plan_built, plan_schedule
from cnnkit.optim.nested import build_nested, has_parts, plan_parts
from cnnkit.optim.preview import MOST_MOVES, Rates, check_arguments, compare_lengths, copy_groups, find_invalid_rate


class UpdateSchedule(ABC):
    """A schedule of timm's kind: it computes the rate from the number of epochs or updates that are over.

    Its methods are ``step(epoch, metric)`` and ``step_update(num_updates)``; both count from 0.
    """

    step: Callable[..., None]
    step_update: Callable[..., None]
    optimizer: Optimizer

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return cls is UpdateSchedule and all(callable(getattr(other, name, None)) for name in ("step", "step_update"))


ScheduleFactory = Callable[[Optimizer], LRScheduler | UpdateSchedule]


class CountedSchedule:
    """Moves a schedule of timm's kind in Lightning's loop.

    Its shape follows its arguments, never a checkpoint: a run resumed with another length takes the new shape.

    Args:
        schedule: the schedule.
    """

    def __init__(self, schedule: UpdateSchedule) -> None:
        self.schedule, self.optimizer = schedule, schedule.optimizer
        inner = getattr(schedule, "lr_scheduler", None)  # timm's PlateauLRScheduler keeps torch's schedule there
        self.plateau = inner if isinstance(inner, ReduceLROnPlateau) else None

    def move(self, interval: Interval, steps: int, epochs: int, metric: Any) -> None:
        """Set the rates for the next step or epoch, after so many steps and epochs; a plateau looks at the metric."""
        if interval == "step":
            self.schedule.step_update(num_updates=steps)
        else:
            self.schedule.step(epochs, None if metric is None else float(metric))

    def state_dict(self) -> dict[str, Any]:
        """Return the counters of a plateau, which timm's own state lacks."""
        return {"plateau": self.plateau.state_dict()} if self.plateau else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counters."""
        if self.plateau and "plateau" in state:
            self.plateau.load_state_dict(state["plateau"])


class BuiltSchedule(NamedTuple):
    """A schedule on an optimizer.

    Attributes:
        scheduler: torch's object, or timm's as a `CountedSchedule`.
        interval: whether it moves on every ``step`` or ``epoch``.
        plateau: whether it looks at a metric.
        facts: entries of the manifest: class, interval, length, whether that was filled in, and why this interval.
        notes: sentences for the user.
        rates: called with the length of the run, in steps or epochs as it moves; returns the rates of the run, at
            most `MOST_MOVES`. Raises a `UserError` if a rate is negative or infinite.
    """

    scheduler: LRScheduler | CountedSchedule
    interval: Interval
    plateau: bool
    facts: dict[str, Any]
    notes: list[str]
    rates: Callable[[int], Rates]

    def move(self, optimizer: Optimizer, steps: int, epochs: int, metric: Any) -> None:
        """Set the rates for the next step or epoch, each group's by its ratio; see `CountedSchedule.move`."""
        with common_rates(optimizer):
            if isinstance(self.scheduler, CountedSchedule):
                self.scheduler.move(self.interval, steps, epochs, metric)
            elif metric is None:
                self.scheduler.step()
            else:
                self.scheduler.step(metric)


def build_schedule(factory: Factory, optimizer: Optimizer, interval: Any, measure_run: MeasureRun) -> BuiltSchedule:
    """Build a schedule that is as long as the run and keeps the ratios of the optimizer's groups.

    Args:
        factory: class or function of a schedule, or a partial of one.
        optimizer: its rates are scheduled; `scale_rates` has been called on it.
        interval: ``step``, ``epoch``, or ``auto``, see `plan_schedule`.
        measure_run: called only if the schedule depends on the length of the run.

    Raises:
        UserError: the schedule refuses an argument, does not fit the optimizer or the run, or the run has no end.
    """
    check_arguments("model.scheduler", factory)
    plan = plan_parts(factory, interval) if has_parts(factory) else plan_schedule(factory, interval)
    _check_momentum(factory, optimizer)
    made = partial(divide_by_ratios(factory, optimizer), **length_arguments(factory, plan, measure_run))

    def build(made_by: Factory, of: Optimizer) -> Any:
        with common_rates(of):
            return build_nested(made_by, of, plan, measure_run) if has_parts(made_by) else made_by(of)

    def replay(made_by: Factory) -> Iterator[list[float]]:
        return _replay(partial(build, made_by), before, plan.interval)

    def look_ahead(count: int) -> Rates:
        return _look_ahead(replay, made, plan.interval, count)

    before = copy_groups(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer made no step
        # Some classes refuse their arguments in the first moves only.
        construct("model.scheduler", made, lambda made_by: list(islice(replay(made_by), 3)))
    built = build(made, optimizer)
    if not isinstance(built, (LRScheduler, UpdateSchedule)):
        raise UserError(f"model.scheduler makes a {type(built).__name__}: give a schedule of torch's or timm's kind")
    plan = plan_built(built, plan, interval)
    scheduler, plateau = _wrap(built)
    if plateau and plan.interval == "step":
        raise UserError("model.schedule_interval is step, but a plateau is looked for once an epoch: leave it out")
    length = (read_argument(made, plan.argument) if plan.argument else None) or None
    facts = {"class": type(built).__name__, "interval": plan.interval, "length": length, "filled": plan.fills}
    notes = compare_lengths(factory, built, plan, length, measure_run)
    if plan.rule == UNKNOWN:
        notes.append(f"{plan.name} moves once an epoch; model.schedule_interval=step makes it move on every step")
    return BuiltSchedule(scheduler, plan.interval, plateau, {**facts, "rule": plan.rule}, notes, look_ahead)


def _wrap(built: Any) -> tuple[LRScheduler | CountedSchedule, bool]:
    """A schedule of torch as it is, one of timm as a `CountedSchedule`; and whether it looks at a metric."""
    scheduler = built if isinstance(built, LRScheduler) else CountedSchedule(built)
    return scheduler, isinstance(scheduler, ReduceLROnPlateau) or bool(getattr(scheduler, "plateau", None))


def _replay(build: Callable[[Optimizer], Any], optimizer: Optimizer, interval: Interval) -> Iterator[list[float]]:
    """Build a schedule on a copy of an optimizer's groups, yield the rates and move it, over and over."""
    copy = copy_groups(optimizer)
    built = build(copy)
    built.state_dict()  # every checkpoint will ask for it
    if not isinstance(built, (LRScheduler, UpdateSchedule)) or built.optimizer is not copy:
        return
    scheduler, plateau = _wrap(built)
    schedule = BuiltSchedule(scheduler, interval, plateau, {}, [], lambda count: [])
    for over in count_up(1):
        yield [float(group["lr"]) for group in copy.param_groups]
        schedule.move(copy, over, over, 0.0 if plateau else None)


def _look_ahead(
    replay: Callable[[Factory], Iterator[list[float]]], factory: Factory, interval: Interval, count: int
) -> Rates:
    """Return the rates of a run; fewer if a move raises an error, which is not looked for here."""

    def collect(made_by: Factory) -> Rates:
        moves = islice(replay(made_by), min(count, MOST_MOVES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer made no step
            rates = list(islice(moves, 1))  # an error while it is built is raised
            with suppress(Exception):
                rates.extend(moves)
        return rates

    def check(made_by: Factory) -> None:
        if find_invalid_rate(collect(made_by)) is not None:
            raise ValueError

    rates = collect(factory)
    if (invalid := find_invalid_rate(rates)) is None:
        return rates
    argument = find_refused(factory, check)
    blamed = f".{argument} is {read_argument(factory, argument)}" if argument else ""
    raise UserError(
        f"model.scheduler{blamed}: {read_name(factory)} sets the learning rate to {rates[invalid][0]:.4g} in "
        f"{interval} {invalid + 1} of {count}; give values that keep it finite and not below 0"
    )


def _check_momentum(factory: Factory, optimizer: Optimizer) -> None:
    """Refuse OneCycleLR and CyclicLR for an optimizer without the momentum that they schedule."""
    if "cycle_momentum" not in read_signature(factory) or not read_argument(factory, "cycle_momentum"):
        return
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise UserError(
            f"model.scheduler.cycle_momentum is true, but {type(optimizer).__name__} has no momentum: set it to false"
        )
