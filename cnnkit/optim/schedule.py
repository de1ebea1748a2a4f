"""Learning-rate schedules: built for a run of known length, moved by step or epoch, torch's and timm's alike."""

import warnings
from abc import ABC
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from cnnkit.errors import UserError
from cnnkit.optim.compose import build_parts, has_parts, plan_parts
from cnnkit.optim.factories import name_of, signature_of, value_of
from cnnkit.optim.foresight import Rates, compare_lengths, copy_groups, find_senseless, refuse_senseless, replay_rates
from cnnkit.optim.length import (
    UNKNOWN,
    Interval,
    RunLength,
    length_arguments,
    plan_built,
    plan_schedule,
)
from cnnkit.optim.rates import common_rates, divide_by_ratios
from cnnkit.optim.refusals import construct, find_refused


class UpdateSchedule(ABC):
    """A schedule of timm's kind: told how many epochs or updates are over, it computes the rate from that alone."""

    optimizer: Optimizer

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return cls is UpdateSchedule and all(callable(getattr(other, name, None)) for name in ("step", "step_update"))

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Set the rates for the epoch of this number, counted from 0."""
        raise NotImplementedError

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Set the rates for the step of this number, counted from 0."""
        raise NotImplementedError


ScheduleFactory = Callable[[Optimizer], LRScheduler | UpdateSchedule]


class CountedSchedule:
    """Moves a schedule of timm's kind in Lightning's loop.

    Its shape follows its arguments, never a checkpoint: a run resumed with another length takes the new shape.

    Args:
        schedule: the schedule.
    """

    def __init__(self, schedule: UpdateSchedule) -> None:
        self.schedule = schedule

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer whose rates it sets."""
        return self.schedule.optimizer

    @property
    def plateau(self) -> ReduceLROnPlateau | None:
        """The one schedule inside timm's PlateauLRScheduler that has a state."""
        inner = getattr(self.schedule, "lr_scheduler", None)
        return inner if isinstance(inner, ReduceLROnPlateau) else None

    def move(self, interval: Interval, steps: int, epochs: int, metric: Any) -> None:
        """Set the rates for the next step or epoch.

        Args:
            interval: what has ended.
            steps: optimizer steps made so far.
            epochs: epochs that are over.
            metric: what a plateau is looked for in.
        """
        if interval == "step":
            self.schedule.step_update(num_updates=steps)
        else:
            self.schedule.step(epochs, None if metric is None else float(metric))

    def state_dict(self) -> dict[str, Any]:
        """The counters of a plateau, which timm's own leaves out."""
        return {"plateau": self.plateau.state_dict()} if self.plateau else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the counters back."""
        if self.plateau and "plateau" in state:
            self.plateau.load_state_dict(state["plateau"])


class BuiltSchedule(NamedTuple):
    """A schedule for an optimizer.

    Attributes:
        scheduler: torch's object, or timm's as a `CountedSchedule`.
        interval: it moves on every ``step`` or ``epoch``.
        plateau: whether it looks at a metric.
        facts: what the manifest says: class, interval, length, whether that was filled in, and why this interval.
        notes: sentences for the user.
        rates: called with the length of the run, in what it moves by, returns the rates over it; see `replay_rates`.
            Raises a `UserError` if one of them is negative or infinite.
    """

    scheduler: LRScheduler | CountedSchedule
    interval: Interval
    plateau: bool
    facts: dict[str, Any]
    notes: list[str]
    rates: Callable[[int], Rates]

    def move(self, optimizer: Optimizer, steps: int, epochs: int, metric: Any) -> None:
        """Set the rates for the next step or epoch, each group's by its ratio."""
        with common_rates(optimizer):
            if isinstance(self.scheduler, CountedSchedule):
                self.scheduler.move(self.interval, steps, epochs, metric)
            elif metric is None:
                self.scheduler.step()
            else:
                self.scheduler.step(metric)


def build_schedule(
    factory: Callable[..., Any],
    optimizer: Optimizer,
    interval: Any,
    measure_run: Callable[[], RunLength | None],
) -> BuiltSchedule:
    """Build a schedule that is as long as the run and keeps the ratios of the optimizer's groups.

    Args:
        factory: class or function of a schedule, or a partial of one.
        optimizer: whose rates are scheduled; `scale_rates` has been called on it.
        interval: ``step``, ``epoch``, or ``auto``, see `plan_schedule`.
        measure_run: returns the run's length, None for a run without end; called only if the schedule depends on it.

    Raises:
        UserError: the schedule refuses an argument, fits neither optimizer nor run, or the run has no known length.
    """
    refuse_senseless("model.scheduler", factory)
    plan = plan_parts(factory, interval) if has_parts(factory) else plan_schedule(factory, interval)
    _refuse_momentum(factory, optimizer)
    made = partial(divide_by_ratios(factory, optimizer), **length_arguments(factory, plan, measure_run))

    def build(made_by: Callable[..., Any], of: Optimizer) -> Any:
        with common_rates(of):
            return build_parts(made_by, of, plan, measure_run)(of) if has_parts(made_by) else made_by(of)

    construct("model.scheduler", made, lambda made_by: _try_moves(partial(build, made_by), optimizer, plan.interval))
    before = copy_groups(optimizer)
    built = build(made, optimizer)
    if not isinstance(built, (LRScheduler, UpdateSchedule)):
        raise UserError(f"model.scheduler makes a {type(built).__name__}: give a schedule of torch's or timm's kind")
    plan = plan_built(built, plan, interval)
    scheduler = built if isinstance(built, LRScheduler) else CountedSchedule(built)
    plateau = isinstance(scheduler, ReduceLROnPlateau) or bool(getattr(scheduler, "plateau", None))
    if plateau and plan.interval == "step":
        raise UserError("model.schedule_interval is step, but a plateau is looked for once an epoch: leave it out")
    length = (value_of(made, plan.argument) if plan.argument else None) or None
    facts = {"class": type(built).__name__, "interval": plan.interval, "length": length, "filled": plan.fills}
    notes = compare_lengths(factory, built, plan, length, measure_run)
    if plan.rule == UNKNOWN:
        notes.append(f"{plan.name} moves once an epoch; model.schedule_interval=step makes it move on every step")
    rates = partial(_rates_over, made, build, before, plan.interval)
    return BuiltSchedule(scheduler, plan.interval, plateau, {**facts, "rule": plan.rule}, notes, rates)


def _rates_over(
    factory: Callable[..., Any], build: Callable[..., Any], optimizer: Optimizer, interval: Interval, count: int
) -> Rates:
    """The rates of a schedule that is built on copies of an optimizer's groups, over a run of ``count`` moves."""

    def replay(made_by: Callable[..., Any]) -> Rates:
        copy = copy_groups(optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = build(made_by, copy)
        if built.optimizer is not copy:
            return []
        scheduler = built if isinstance(built, LRScheduler) else CountedSchedule(built)
        moved = BuiltSchedule(scheduler, interval, False, {}, [], lambda count: [])
        return replay_rates(lambda over: moved.move(copy, over, over, None), copy, count)

    def check(made_by: Callable[..., Any]) -> None:
        if find_senseless(replay(made_by)) is not None:
            raise ValueError

    rates = replay(factory)
    if (wrong := find_senseless(rates)) is None:
        return rates
    argument = find_refused(factory, check)
    blamed = f".{argument} is {value_of(factory, argument)}" if argument else ""
    raise UserError(
        f"model.scheduler{blamed}: {name_of(factory)} sets the learning rate to {rates[wrong][0]:.4g} in {interval} "
        f"{wrong + 1} of {count}; give values that keep it finite and not below 0"
    )


def _try_moves(build: Callable[[Optimizer], Any], optimizer: Optimizer, interval: Interval) -> None:
    """Build a schedule on a copy of an optimizer's groups and move it a few times, for some show their faults then."""
    copy = copy_groups(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer made no step
        built = build(copy)
        built.state_dict()  # which every checkpoint will ask for
        if not isinstance(built, (LRScheduler, UpdateSchedule)) or built.optimizer is not copy:
            return
        for count in (1, 2):
            if isinstance(built, ReduceLROnPlateau):
                built.step(0.0)
            elif isinstance(built, LRScheduler):
                built.step()
            else:
                CountedSchedule(built).move(interval, count, count, 0.0)


def _refuse_momentum(factory: Callable[..., Any], optimizer: Optimizer) -> None:
    """OneCycleLR and CyclicLR move momentum, too, and torch says so only by the name of its argument."""
    if "cycle_momentum" not in signature_of(factory) or not value_of(factory, "cycle_momentum"):
        return
    if not {"momentum", "betas"} & optimizer.defaults.keys():
        raise UserError(
            f"model.scheduler.cycle_momentum is true, but {type(optimizer).__name__} has no momentum: set it to false"
        )
