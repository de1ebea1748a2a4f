"""timm's optimizers by their short names, which include variants without a class of their own."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from torch.optim import Optimizer

from cnnkit.errors import UserError
from cnnkit.suggest import closest


class TimmOptimizer(Optimizer):
    """One of timm's optimizers by its short name; the object that is built is timm's own.

    This is a class, not a function, because a configuration can pass arguments to classes only.

    Args:
        params: parameters or groups of them.
        name: a name from `timm.optim.list_optimizers`, such as ``nadamuon``, ``lionc`` or ``kron``.
        lr: learning rate; by default the optimizer's own.
        weight_decay: weight decay of the groups that decay.
        momentum: momentum, for optimizers that have one.
        arguments: further arguments of the optimizer's class, by name.

    Raises:
        UserError: timm has no optimizer of this name.
    """

    def __new__(  # type: ignore[misc]
        cls,
        params: Iterable[Any],
        name: str,
        lr: float | None = None,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        arguments: dict[str, Any] | None = None,
    ) -> Optimizer:
        timms: Any = import_module("timm.optim")  # here, because it takes seconds

        names = [str(known) for known in timms.list_optimizers()]
        if name not in names:
            near = closest(name, names) or names[:8]
            raise UserError(f"model.optimizer.name is {name}, which timm does not have; it has {', '.join(near)}, ...")
        options = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, **(arguments or {})}
        made: Optimizer = timms.create_optimizer_v2(list(params), opt=name, **options)
        return made
