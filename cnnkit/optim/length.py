"""How a schedule moves, by step or by epoch, and which of its arguments is the length of the run.

Both follow from the names of its arguments: ``total_steps`` counts optimizer steps and is the length, ``step_size_up``
counts steps and is no length, ``T_max`` is a length in whatever the schedule moves by. `plan_schedule` applies these
rules and can be asked again, for a run of another length, say. What names do not tell stands in the tables below.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from torch.optim.lr_scheduler import PolynomialLR

from cnnkit.errors import UserError
from cnnkit.optim.factories import class_and_arguments, name_of, signature_of, value_of

Interval = Literal["step", "epoch"]

LENGTHS_IN_STEPS = ("total_steps", "num_training_steps", "max_steps", "max_iters")
LENGTHS_IN_EPOCHS = ("max_epochs", "total_epochs", "num_epochs")
LENGTHS = ("T_max", "t_initial")  # in whatever the schedule moves by
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
        epochs: epochs, the last of which may be cut short.
    """

    steps: int
    epochs: int


class SchedulePlan(NamedTuple):
    """How a schedule moves and how long it is, before it is built.

    Attributes:
        name: of the class or function.
        interval: it moves on every optimizer ``step`` or every ``epoch``.
        argument: the argument that is the run's length; None where it has none.
        fills: whether that argument was left out and is filled in.
        rule: why this interval, as part of a sentence.
    """

    name: str
    interval: Interval
    argument: str | None
    fills: bool
    rule: str


def find_length_argument(scheduler: Callable[..., Any]) -> str | None:
    """Name the argument by which a schedule learns how long the run is, if that was left out.

    Args:
        scheduler: class or function of a schedule, or a ``functools.partial`` of one.

    Returns:
        Such as ``total_steps``, ``T_max``, ``t_initial``, or PolynomialLR's ``total_iters``. None where there is no
        such argument (``total_iters`` of LinearLR is the length of a warm-up), or where the partial already says it;
        0 and None say nothing.

    Example:
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR
        >>> find_length_argument(CosineAnnealingLR)
        'T_max'
    """
    plan = plan_schedule(scheduler)
    return plan.argument if plan.fills else None


def find_length_default(target: Callable[..., Any]) -> dict[str, int]:
    """Return the default by which a configuration leaves a schedule's length open: 0, which says nothing.

    PolynomialLR's own is 5, which could not be told from a 5 that somebody wrote.

    Returns:
        Empty for what is no schedule, has no length, or has None as its default, which says nothing either.

    Example:
        >>> from torch.optim.lr_scheduler import OneCycleLR
        >>> find_length_default(PolynomialLR), find_length_default(OneCycleLR)
        ({'total_iters': 0}, {})
    """
    parameters = signature_of(target)
    name = find_length_argument(target) if "optimizer" in parameters else None
    return {} if name is None or parameters[name].default is None else {name: 0}


def plan_schedule(scheduler: Callable[..., Any], interval: Interval | Literal["auto"] = "auto") -> SchedulePlan:
    """Say how a schedule moves and whether its length is to be filled in.

    Args:
        scheduler: class or function of a schedule, or a ``functools.partial`` of one.
        interval: ``step`` or ``epoch`` where somebody has decided it; ``auto`` follows the names of the arguments.

    Example:
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, StepLR
        >>> [plan_schedule(schedule).interval for schedule in (CosineAnnealingLR, CyclicLR, StepLR)]
        ['step', 'step', 'epoch']
    """
    argument = _find_length(scheduler)
    fills = argument is not None and not _says_length(scheduler, argument)
    chosen, rule = _find_interval(scheduler, argument, fills)
    if interval != "auto":
        chosen, rule = interval, f"schedule_interval is {interval}"
    return SchedulePlan(name_of(scheduler), chosen, argument, fills, rule)


def plan_built(built: Any, plan: SchedulePlan, interval: str) -> SchedulePlan:
    """Correct the plan of a schedule that a function built, whose own arguments say little, by the schedule's class.

    Args:
        built: the schedule.
        plan: what `plan_schedule` said of the function.
        interval: as given to it.
    """
    if plan.name == type(built).__name__ or plan.fills or interval != "auto":
        return plan
    chosen, rule = _find_interval(type(built), None, False)
    if hasattr(built, "t_in_epochs"):
        chosen, rule = ("epoch" if built.t_in_epochs else "step"), f"t_in_epochs is {built.t_in_epochs}"
    return plan._replace(name=type(built).__name__, interval=chosen, rule=rule)


def length_arguments(
    scheduler: Callable[..., Any], plan: SchedulePlan, measure_run: Callable[[], RunLength | None]
) -> dict[str, Any]:
    """Return the arguments that make a schedule as long as the run.

    Args:
        scheduler: the schedule's factory.
        plan: what `plan_schedule` says of it.
        measure_run: returns the run's length, None for a run without end; called only if something is filled in.

    Returns:
        What is to be passed to the factory besides what was given; empty where nothing was left out.

    Raises:
        UserError: the length is to be filled in, and the run has none.

    Example:
        >>> from torch.optim.lr_scheduler import OneCycleLR
        >>> length_arguments(OneCycleLR, plan_schedule(OneCycleLR), lambda: RunLength(steps=120, epochs=10))
        {'total_steps': 120}
    """
    parameters, found = signature_of(scheduler), {}
    if "t_in_epochs" in parameters:
        found["t_in_epochs"] = plan.interval == "epoch"
    if plan.argument is None:
        return found
    if not plan.fills:  # OneCycleLR refuses the 0 that says nothing
        return found if value_of(scheduler, plan.argument) else {**found, plan.argument: None}
    run = measure_run()
    if run is None:
        raise UserError(
            f"model.scheduler.{plan.argument} is to be the length of the run, which has none: set trainer.max_epochs "
            "or trainer.max_steps"
        )
    length = run.steps if plan.interval == "step" else run.epochs
    epochs, each = value_of(scheduler, "epochs"), value_of(scheduler, "steps_per_epoch")
    if epochs or each:  # OneCycleLR, which was given one of them
        length = (epochs or run.epochs) * (each or math.ceil(length / run.epochs))
    if plan.argument == "t_initial":
        length = _first_cycle(scheduler, length)
    return {**found, plan.argument: length}


def fill_length(scheduler: Callable[..., Any], total_steps: int) -> Callable[..., Any]:
    """Tell a schedule's factory the length of the run, if it has an argument for it and nobody has set it."""
    name = find_length_argument(scheduler)
    return scheduler if name is None else partial(scheduler, **{name: total_steps})


def counts(scheduler: Callable[..., Any]) -> Interval:
    """Return what the arguments of a schedule count, whether or not one is left out."""
    return _find_interval(scheduler, None, False)[0]


def _find_length(scheduler: Callable[..., Any]) -> str | None:
    target, _ = class_and_arguments(scheduler)
    names = [*LENGTHS_IN_STEPS, *LENGTHS_IN_EPOCHS, *LENGTHS]
    if isinstance(target, type):
        names += [name for of_class, name in LENGTHS_OF_CLASSES if issubclass(target, of_class)]
    parameters = signature_of(scheduler)
    return next((name for name in names if name in parameters), None)


def _says_length(scheduler: Callable[..., Any], argument: str) -> bool:
    _, given = class_and_arguments(scheduler)
    return bool(given.get(argument) or (given.get("epochs") and given.get("steps_per_epoch")))


def _find_interval(scheduler: Callable[..., Any], argument: str | None, fills: bool) -> tuple[Interval, str]:
    names = signature_of(scheduler).keys()
    if "t_in_epochs" in names:
        if value_of(scheduler, "t_in_epochs") is False:
            return "step", "t_in_epochs is false"
        return "epoch", "t_in_epochs is true"
    for interval, counted in (("step", COUNT_STEPS), ("epoch", COUNT_EPOCHS)):
        if found := sorted(names & counted):
            return interval, f"{found[0]} counts {interval}s"  # type: ignore[return-value]
    if fills:
        return "step", f"{argument} is filled in with the run's steps"
    return "epoch", CUSTOMARY if _is_known(scheduler) else UNKNOWN


def _is_known(scheduler: Callable[..., Any]) -> bool:
    target, _ = class_and_arguments(scheduler)
    return getattr(target, "__module__", "").split(".")[0] in ("torch", "timm", "cnnkit", "lightning")


def _first_cycle(scheduler: Callable[..., Any], length: int) -> int:
    """Length of timm's first cycle, with which all cycles, after a warm-up before them, are as long as the run."""
    cycles, factor = value_of(scheduler, "cycle_limit") or 1, value_of(scheduler, "cycle_mul") or 1.0
    # WSDLRScheduler has no warmup_prefix: its warm-up always comes before t_initial.
    prefix = "warmup_prefix" not in signature_of(scheduler) or value_of(scheduler, "warmup_prefix")
    warmup = (value_of(scheduler, "warmup_t") or 0) if prefix else 0
    if warmup >= length:
        raise UserError(
            f"model.scheduler.warmup_t is {warmup}, but the run has {length} of what it counts: give a smaller one"
        )
    return math.ceil((length - warmup) / sum(factor**cycle for cycle in range(cycles)))
