"""Parameter groups of an optimizer: which parameters decay, and at which part of the learning rate a group trains.

No decay on norms and biases: He et al. 2018, arXiv 1812.01187, section 3.1. Lower rates for lower layers: Howard &
Ruder 2018, arXiv 1801.06146. A schedule sets absolute rates, such as ``eta_min`` or ``max_lr``, and gives them to all
groups alike. So a schedule here sets one common rate, and each group trains at its ratio of it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.optim.factories import split_factory

RATIO, COMMON = "lr_ratio", "lr_common"


def parameter_groups(module: nn.Module, decay_norm_and_bias: bool = True) -> list[dict[str, Any]]:
    """List every trainable parameter once, in groups named ``decay`` and ``no_decay``.

    Args:
        module: net to train; frozen parameters (``requires_grad=False``) are left out.
        decay_norm_and_bias: False puts biases and the parameters of normalization layers, that is all parameters of
            one dimension, into ``no_decay``. An empty group is left out.

    Example:
        >>> [(g["name"], len(g["params"])) for g in parameter_groups(nn.Linear(3, 2), decay_norm_and_bias=False)]
        [('decay', 1), ('no_decay', 1)]
    """
    return decay_groups([p for p in module.parameters() if p.requires_grad], decay_norm_and_bias)


def decay_groups(
    parameters: Iterable[nn.Parameter], decay_norm_and_bias: bool = True, name: str = "", **options: Any
) -> list[dict[str, Any]]:
    """Group parameters as `parameter_groups` does, frozen ones too.

    Args:
        parameters: each of them once.
        decay_norm_and_bias: as in `parameter_groups`.
        name: name of the group, or prefix of the two names: ``head/decay``, ``head/no_decay``.
        **options: further entries of the groups, such as ``lr_scale``, see `scale_rates`.
    """
    listed = list(parameters)
    if decay_norm_and_bias:
        return [{**({"name": name} if name else {}), "params": listed, **options}] if listed else []
    prefix = f"{name}/" if name else ""
    decay, no_decay = [p for p in listed if p.ndim > 1], [p for p in listed if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"name": f"{prefix}decay", "params": decay, **options},
        {"name": f"{prefix}no_decay", "params": no_decay, "weight_decay": 0.0, **options},
    ]
    return [group for group in groups if group["params"]]


def scale_rates(optimizer: Optimizer) -> None:
    """Turn each group's ``lr_scale``, or its own rate, into a ratio to the optimizer's rate; schedules keep the ratio.

    Raises:
        UserError: a group has an ``lr_scale``, but the optimizer has no learning rate.
    """
    common = optimizer.defaults.get("lr")
    scales = [group.pop("lr_scale", 1.0) for group in optimizer.param_groups]
    if not isinstance(common, (int, float)):
        if any(scale != 1 for scale in scales):
            raise UserError(
                f"model.optimizer: {type(optimizer).__name__} has no lr that a group of parameters could have a part "
                "of: give it an lr"
            )
        return
    rates = [group["lr"] * scale for group, scale in zip(optimizer.param_groups, scales, strict=True)]
    if all(rate == common for rate in rates):
        return
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if common:
            group.update({RATIO: rate / common, COMMON: float(common)})


@contextmanager
def common_rates(optimizer: Optimizer) -> Iterator[None]:
    """Set every group to the common rate, without its ratio, while a schedule is built or moves."""
    scaled = [group for group in optimizer.param_groups if RATIO in group]
    for group in scaled:
        group["lr"] = group[COMMON]
    yield
    for group in scaled:
        group[COMMON] = group["lr"]
        group["lr"] = group[COMMON] * group[RATIO]


def divide_by_ratios(scheduler: Callable[..., Any], optimizer: Optimizer) -> Callable[..., Any]:
    """Divide lists of rates, one rate a group, by the groups' ratios, which will multiply them again."""
    ratios = [group.get(RATIO, 1.0) for group in optimizer.param_groups]
    lists = {
        name: [rate / ratio for rate, ratio in zip(rates, ratios, strict=True)]
        for name, rates in split_factory(scheduler)[1].items()
        if name.endswith("_lr") and isinstance(rates, (list, tuple)) and len(rates) == len(ratios)
    }
    return partial(scheduler, **lists) if lists and any(ratio != 1 for ratio in ratios) else scheduler
