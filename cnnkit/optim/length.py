"""How a schedule moves, by step or by epoch, and which of its arguments is the length of the run.

Both follow from the names of its arguments: ``total_steps`` counts optimizer steps and is the length, ``step_size_up``
counts steps and is no length, ``T_max`` is a length in the unit by which the schedule moves. `plan_schedule` applies
these rules. The tables below hold the names.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch.optim.lr_scheduler import PolynomialLR

from cnnkit.errors import UserError
from cnnkit.optim.factories import read_argument, read_name, read_signature, split_factory

Interval = Literal["step", "epoch"]

LENGTHS_IN_STEPS = ("total_steps", "num_training_steps", "max_steps", "max_iters")
LENGTHS_IN_EPOCHS = ("max_epochs", "total_epochs", "num_epochs")
LENGTHS = ("T_max", "t_initial")  # in the unit by which the schedule moves
# The same name is the length of a warm-up in LinearLR and ConstantLR.
LENGTHS_OF_CLASSES: tuple[tuple[type, str], ...] = ((PolynomialLR, "total_iters"),)
# Arguments that are no length, but show that the author counts optimizer steps: OneCycleLR, CyclicLR, transformers.
COUNT_STEPS = {*LENGTHS_IN_STEPS, "steps_per_epoch", "step_size_up", "warmup_steps", "num_warmup_steps"}
COUNT_EPOCHS = {*LENGTHS_IN_EPOCHS, "warmup_epochs", "anneal_epochs"}
CUSTOMARY, UNKNOWN = "it counts no steps", "nothing in its arguments counts steps"


class RunLength(NamedTuple):
    """How long a run is.

    Attributes:
        steps: optimizer steps, over all epochs.
        epochs: epochs; the last one may be incomplete.
    """

    steps: int
    epochs: int

    def count_moves(self, interval: Interval) -> int:
        """Return the steps or the epochs."""
        return self.steps if interval == "step" else self.epochs


MeasureRun = Callable[[], RunLength | None]
"""Returns the length of the run, or None for a run without end."""


class SchedulePlan(NamedTuple):
    """How a schedule moves and how long it is, before it is built.

    Attributes:
        name: of the class or function.
        interval: whether it moves on every optimizer ``step`` or every ``epoch``.
        argument: the argument that is the length of the run; None if there is none.
        fills: whether cnnkit fills in that argument, because the user left it out.
        rule: why this interval, as part of a sentence.
    """

    name: str
    interval: Interval
    argument: str | None
    fills: bool
    rule: str


def find_length_default(target: Callable[..., Any]) -> dict[str, int]:
    """Return the default by which a configuration leaves a schedule's length open: 0, which means no length.

    PolynomialLR's own default is 5, which could not be distinguished from a 5 that the user wrote. The result is empty
    for a class that is no schedule, that has no length, or whose default is None, which means no length too.

    Example:
        >>> from torch.optim.lr_scheduler import OneCycleLR
        >>> find_length_default(PolynomialLR), find_length_default(OneCycleLR)
        ({'total_iters': 0}, {})
    """
    parameters, plan = read_signature(target), plan_schedule(target)
    if plan.argument is None or not plan.fills or "optimizer" not in parameters:
        return {}
    return {} if parameters[plan.argument].default is None else {plan.argument: 0}


def plan_schedule(scheduler: Callable[..., Any], interval: Interval | Literal["auto"] = "auto") -> SchedulePlan:
    """Decide how a schedule moves and whether its length is filled in.

    Args:
        scheduler: class or function of a schedule, or a ``functools.partial`` of one. A length of 0 or None counts as
            left out.
        interval: ``step`` or ``epoch`` if the user chose one; ``auto`` follows the names of the arguments.

    Example:
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, StepLR
        >>> [plan_schedule(schedule).interval for schedule in (CosineAnnealingLR, CyclicLR, StepLR)]
        ['step', 'step', 'epoch']
        >>> plan_schedule(CosineAnnealingLR).argument
        'T_max'
    """
    target, given = split_factory(scheduler)
    names = [*LENGTHS_IN_STEPS, *LENGTHS_IN_EPOCHS, *LENGTHS]
    if isinstance(target, type):
        names += [name for of_class, name in LENGTHS_OF_CLASSES if issubclass(target, of_class)]
    parameters = read_signature(scheduler)
    argument = next((name for name in names if name in parameters), None)
    has_length = bool(argument and given.get(argument)) or bool(given.get("epochs") and given.get("steps_per_epoch"))
    fills = argument is not None and not has_length
    chosen, rule = _find_interval(scheduler, argument if fills else None)
    if interval != "auto":
        chosen, rule = interval, f"schedule_interval is {interval}"
    return SchedulePlan(read_name(scheduler), chosen, argument, fills, rule)


def plan_built(built: Any, plan: SchedulePlan, interval: str) -> SchedulePlan:
    """Correct the plan of a function, whose own arguments tell little, by the class of the schedule that it built.

    Args:
        built: the schedule.
        plan: plan of the function.
        interval: as given to `plan_schedule`.
    """
    if plan.name == type(built).__name__ or plan.fills or interval != "auto":
        return plan
    chosen, rule = _find_interval(type(built), None)
    if hasattr(built, "t_in_epochs"):
        chosen, rule = ("epoch" if built.t_in_epochs else "step"), f"t_in_epochs is {built.t_in_epochs}"
    return plan._replace(name=type(built).__name__, interval=chosen, rule=rule)


def length_arguments(scheduler: Callable[..., Any], plan: SchedulePlan, measure_run: MeasureRun) -> dict[str, Any]:
    """Return the arguments that make a schedule as long as the run; empty if the user gave its length.

    Args:
        scheduler: the schedule's factory.
        plan: its plan, see `plan_schedule`.
        measure_run: called only if the length is filled in.

    Raises:
        UserError: the length has to be filled in, and the run has no end.

    Example:
        >>> from torch.optim.lr_scheduler import OneCycleLR
        >>> length_arguments(OneCycleLR, plan_schedule(OneCycleLR), lambda: RunLength(steps=120, epochs=10))
        {'total_steps': 120}
    """
    arguments: dict[str, Any] = {}
    if "t_in_epochs" in read_signature(scheduler):
        arguments["t_in_epochs"] = plan.interval == "epoch"
    if plan.argument is None:
        return arguments
    if not plan.fills:  # OneCycleLR refuses a 0 beside epochs and steps_per_epoch
        return arguments if read_argument(scheduler, plan.argument) else {**arguments, plan.argument: None}
    run = measure_run()
    if run is None:
        raise UserError(
            f"model.scheduler.{plan.argument} is to be the length of the run, which has none: set trainer.max_epochs "
            "or trainer.max_steps"
        )
    length = run.count_moves(plan.interval)
    epochs, each = read_argument(scheduler, "epochs"), read_argument(scheduler, "steps_per_epoch")
    if epochs or each:  # OneCycleLR, with one of the two
        length = (epochs or run.epochs) * (each or math.ceil(length / run.epochs))
    if plan.argument == "t_initial":
        length = _first_cycle(scheduler, length)
    return {**arguments, plan.argument: length}


def counts_steps(scheduler: Callable[..., Any]) -> bool:
    """Whether the arguments of a schedule count optimizer steps, even if its length is left out."""
    return _find_interval(scheduler, None)[0] == "step"


def _find_interval(scheduler: Callable[..., Any], filled: str | None) -> tuple[Interval, str]:
    names = read_signature(scheduler).keys()
    if "t_in_epochs" in names:
        in_epochs = read_argument(scheduler, "t_in_epochs") is not False
        return ("epoch", "t_in_epochs is true") if in_epochs else ("step", "t_in_epochs is false")
    if steps := sorted(names & COUNT_STEPS):
        return "step", f"{steps[0]} counts steps"
    if epochs := sorted(names & COUNT_EPOCHS):
        return "epoch", f"{epochs[0]} counts epochs"
    if filled:
        return "step", f"{filled} is filled in with the run's steps"
    package = getattr(split_factory(scheduler)[0], "__module__", "").split(".")[0]
    return "epoch", CUSTOMARY if package in ("torch", "timm", "cnnkit", "lightning") else UNKNOWN


def _first_cycle(scheduler: Callable[..., Any], length: int) -> int:
    """Length of timm's first cycle, with which the warm-up and all cycles together are as long as the run."""
    cycles, factor = read_argument(scheduler, "cycle_limit") or 1, read_argument(scheduler, "cycle_mul") or 1.0
    # WSDLRScheduler has no warmup_prefix: its warm-up always comes before t_initial.
    prefix = "warmup_prefix" not in read_signature(scheduler) or read_argument(scheduler, "warmup_prefix")
    warmup = (read_argument(scheduler, "warmup_t") or 0) if prefix else 0
    if warmup >= length:
        raise UserError(
            f"model.scheduler.warmup_t is {warmup}, but the run has {length} of the same unit: give a smaller one"
        )
    return math.ceil((length - warmup) / sum(factor**cycle for cycle in range(cycles)))
