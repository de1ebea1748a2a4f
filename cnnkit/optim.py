"""Parameter groups, learning-rate schedules that know how long they are, and what torch's optimizers can do.

Warm-up and cosine: Goyal et al. 2017, arXiv 1706.02677; Loshchilov & Hutter 2016, arXiv 1608.03983.
Triangle: Smith 2017, arXiv 1708.07120. No decay on norms and biases: He et al. 2018, arXiv 1812.01187, section 3.1.
"""

import inspect
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, PolynomialLR

from cnnkit.errors import UserError


def parameter_groups(module: nn.Module, decay_norm_and_bias: bool = True) -> list[dict[str, Any]]:
    """Give an optimizer every trainable parameter once, in groups named ``decay`` and ``no_decay``.

    Args:
        module: net whose parameters are trained; frozen ones (``requires_grad=False``) are left out.
        decay_norm_and_bias: False spares biases and the scales and shifts of normalisation layers, that is every
            parameter of one dimension. True puts all into ``decay``. An empty group is left out.

    Example:
        >>> [(g["name"], len(g["params"])) for g in parameter_groups(nn.Linear(3, 2), decay_norm_and_bias=False)]
        [('decay', 1), ('no_decay', 1)]
    """
    return decay_groups([p for p in module.parameters() if p.requires_grad], decay_norm_and_bias)


def decay_groups(
    parameters: Iterable[nn.Parameter], decay_norm_and_bias: bool = True, name: str = "", **options: Any
) -> list[dict[str, Any]]:
    """The same for given parameters, frozen or not.

    Args:
        parameters: each of them once.
        decay_norm_and_bias: as in `parameter_groups`.
        name: of the group, or what comes before the names of the two: ``head/decay``, ``head/no_decay``.
        **options: what else the groups hold, such as ``lr_scale``, see `scale_rates`.
    """
    held = list(parameters)
    if decay_norm_and_bias:
        return [{**({"name": name} if name else {}), "params": held, **options}] if held else []
    before = f"{name}/" if name else ""
    decay, spared = [p for p in held if p.ndim > 1], [p for p in held if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"name": f"{before}decay", "params": decay, **options},
        {"name": f"{before}no_decay", "params": spared, "weight_decay": 0.0, **options},
    ]
    return [group for group in groups if group["params"]]


def scale_rates(optimizer: Optimizer) -> None:
    """Multiply every group's rate by its ``lr_scale``, once, before a schedule is built on it.

    Torch's schedules move each group's rate in proportion, but none reads ``lr_scale`` itself.

    Example:
        >>> import torch
        >>> groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr_scale": 0.1}]
        >>> optimizer = torch.optim.SGD(groups, lr=0.5)
        >>> scale_rates(optimizer)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.5, 0.05]
    """
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group.pop("lr_scale", 1.0)


def warmup_cosine(step: int, total_steps: int, warmup: float, final: float) -> float:
    """Factor on the learning rate: up to 1 in a straight line, then down to ``final`` along half a cosine.

    Example:
        >>> [round(warmup_cosine(step, 8, 0.25, 0.0), 2) for step in range(9)]
        [0.33, 0.67, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """
    rise = round(warmup * total_steps)
    if step < rise:
        return (step + 1) / (rise + 1)  # not 0: the first step is not to be wasted
    progress = min(1.0, (step - rise) / max(1, total_steps - rise))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def triangle(step: int, total_steps: int, peak: float, start: float, final: float) -> float:
    """Factor on the learning rate: from ``start`` up to 1 and down to ``final`` in two straight lines.

    Example:
        >>> [round(triangle(step, 8, 0.25, 0.5, 0.1), 2) for step in range(9)]
        [0.5, 0.75, 1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1]
    """
    top = int(peak * total_steps)
    if step < top:
        return start + (1 - start) * step / top
    return 1 + (final - 1) * min(1.0, (step - top) / max(1, total_steps - top))


class WarmupCosineLR(LambdaLR):
    """Linear warm-up to the optimizer's learning rate, then half a cosine down, see :func:`warmup_cosine`.

    The shape follows these arguments, never a checkpoint: a run resumed with other ``total_steps`` takes the new shape.

    Args:
        optimizer: optimizer whose learning rates are scheduled.
        total_steps: calls of ``step()`` in the whole run, be they training steps or epochs.
        warmup: part of the run that is warm-up, from 0 to 1.
        final: learning rate at the end, as a part of the highest.
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
        factor = partial(warmup_cosine, total_steps=total_steps, warmup=warmup, final=final)
        super().__init__(optimizer, factor, last_epoch)


class TriangleLR(LambdaLR):
    """Up to the optimizer's learning rate and down again in straight lines, see :func:`triangle`.

    ``peak=0.23`` is the schedule of airbench94 (Jordan 2024, arXiv 2404.00498).
    The shape follows these arguments, never a checkpoint: a run resumed with other ``total_steps`` takes the new shape.

    Args:
        optimizer: optimizer whose learning rates are scheduled.
        total_steps: calls of ``step()`` in the whole run, be they training steps or epochs.
        peak: where the learning rate is highest, from 0 (the start of the run) to 1 (its end).
        start: learning rate at the start, as a part of the highest.
        final: learning rate at the end, as a part of the highest.
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
        factor = partial(triangle, total_steps=total_steps, peak=peak, start=start, final=final)
        super().__init__(optimizer, factor, last_epoch)


def _check(total_steps: int, **parts: float) -> None:
    if total_steps < 1:
        raise UserError(f"total_steps is {total_steps}; a schedule needs at least one step.")
    for name, part in parts.items():
        if not 0 <= part <= 1:
            raise UserError(f"{name} is {part}; give a part of the run between 0 and 1.")


def length_argument(scheduler: Callable[..., Any]) -> str | None:
    """Name the argument by which a scheduler learns how long the run is.

    Args:
        scheduler: scheduler class, or a ``functools.partial`` of one.

    Returns:
        ``total_steps``, ``T_max``, or PolynomialLR's ``total_iters``. None where there is no such argument
        (``total_iters`` of LinearLR and ConstantLR is the length of a warm-up), or where the partial already
        says it; 0 and None say nothing.

    Example:
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR
        >>> length_argument(CosineAnnealingLR)
        'T_max'
    """
    target, given = _class_and_arguments(scheduler)
    names = ["total_steps", "T_max"]
    if isinstance(target, type) and issubclass(target, PolynomialLR):
        names.append("total_iters")
    found = next((name for name in names if name in inspect.signature(target).parameters), None)
    # OneCycleLR takes its length either as total_steps or as these two.
    said = (found and given.get(found)) or {"epochs", "steps_per_epoch"} <= given.keys()
    return None if said else found


def fill_length(scheduler: Callable[..., Any], total_steps: int) -> Callable[..., Any]:
    """Tell a scheduler factory the length of the run, if it has an argument for it and nobody has set it."""
    name = length_argument(scheduler)
    return scheduler if name is None else partial(scheduler, **{name: total_steps})


def keep_ratios(scheduler: Callable[..., Any], optimizer: Optimizer) -> Callable[..., Any]:
    """Give a schedule that brings its own rates (OneCycleLR, CyclicLR) one for each group.

    A single ``max_lr`` or ``base_lr`` would take the place of every group's rate and thus make them all equal. It is
    meant for a group that has the optimizer's rate; the others get it in the ratio of their own.

    Example:
        >>> import torch
        >>> groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.25}]
        >>> schedule = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=2.0, total_steps=9)
        >>> keep_ratios(schedule, torch.optim.SGD(groups, lr=0.5)).keywords["max_lr"]
        [2.0, 1.0]
    """
    _, given = _class_and_arguments(scheduler)
    usual = optimizer.defaults.get("lr")
    rates = {name: given[name] for name in ("max_lr", "base_lr") if isinstance(given.get(name), (int, float))}
    if not rates or not usual:
        return scheduler
    ratios = [group["lr"] / usual for group in optimizer.param_groups]
    return partial(scheduler, **{name: [rate * ratio for ratio in ratios] for name, rate in rates.items()})


def fused_if_possible(optimizer: Callable[..., Any]) -> dict[str, bool]:
    """Give ``{"fused": True}`` for an optimizer class that has such a kernel (SGD, Adam, AdamW, Adagrad), else nothing.

    Not to be combined with gradient clipping in 16-bit floats (``16-mixed``), which Lightning refuses.

    Example:
        >>> import torch
        >>> fused_if_possible(torch.optim.SGD), fused_if_possible(torch.optim.RMSprop)
        ({'fused': True}, {})
    """
    target, given = _class_and_arguments(optimizer)
    if "fused" not in inspect.signature(target).parameters:
        return {}
    chosen = given.get("fused")
    return {"fused": True if chosen is None else chosen}


def plain_factory(factory: Callable[..., Any]) -> Callable[..., Any]:
    """Return jsonargparse's factory of a class as a plain partial of that class; anything else as it is.

    Its own calls the class through an instantiator that holds the whole command line, trainer included, and can
    therefore be neither copied nor looked through.
    """
    if isinstance(factory, partial) and (classes := [a for a in factory.args if isinstance(a, type)]):
        return partial(classes[0], **factory.keywords)
    return factory


def _class_and_arguments(factory: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    return (factory.func, factory.keywords) if isinstance(factory, partial) else (factory, {})
