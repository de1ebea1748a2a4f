"""Parameter groups of an optimizer: which parameters decay, and at what part of the learning rate each group trains.

No decay on norms and biases: He et al. 2018, arXiv 1812.01187, section 3.1.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn


def parameter_groups(module: nn.Module, decay_norm_and_bias: bool = True) -> list[dict[str, Any]]:
    """Give an optimizer every trainable parameter once, in groups named ``decay`` and ``no_decay``.

    Args:
        module: net whose parameters are trained; frozen ones (``requires_grad=False``) are left out.
        decay_norm_and_bias: False spares biases and the scales and shifts of normalization layers, that is every
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
