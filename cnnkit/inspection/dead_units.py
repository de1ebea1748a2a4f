"""Units that a ReLU has silenced: a unit that is zero for every image has no gradient and stops learning."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.layers.probing import as_plain_code
from cnnkit.upstream import private

TorchDispatchMode: Any = private("torch.utils._python_dispatch.TorchDispatchMode")
_RELUS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)


def dead_relus(net: nn.Module, images: Tensor) -> dict[str, float]:
    """Measure the share of dead units after every ReLU of a net, in [0, 1].

    A unit is a channel of maps (B, C, H, W) or a column of features (B, D), and dead if it is zero for all the images,
    everywhere. `nn.ReLU` counts as well as ``F.relu`` in a net's code; a ReLU has the name of the module that runs it,
    the second one in the same module ``name (2)``. The net runs once, in evaluation mode, and is left as it was.

    Args:
        images: (B, C, H, W), as the net takes them; with more images fewer units seem dead.

    Example:
        >>> net = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
        >>> _ = net[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
        >>> dead_relus(net, torch.tensor([[1.0], [2.0]]))
        {'1': 0.5}
    """
    watcher = _ReLUs()
    with ExitStack() as stack:
        stack.enter_context(as_plain_code(net))
        for name, module in net.named_modules():
            stack.callback(module.register_forward_pre_hook(watcher.entering(name)).remove)
            stack.callback(module.register_forward_hook(watcher.leaving).remove)
        with torch.no_grad(), watcher:
            net(images)
    if not watcher.shares:
        return {}
    return dict(zip(watcher.shares, torch.stack(list(watcher.shares.values())).tolist(), strict=True))


class _ReLUs(TorchDispatchMode):
    """Watches the output of every ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, Tensor] = {}
        self._running: list[str] = []  # modules, the innermost last

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _RELUS and out.ndim >= 2:
            name = (self._running[-1] if self._running else "") or "net"
            number = sum(known == name or known.startswith(f"{name} (") for known in self.shares) + 1
            highest = out.amax([d for d in range(out.ndim) if d != 1])
            self.shares[name if number == 1 else f"{name} ({number})"] = (highest <= 0).float().mean()
        return out

    def entering(self, name: str) -> Any:
        """Hook before a module."""
        return lambda module, inputs: self._running.append(name)

    def leaving(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Hook after a module."""
        self._running.pop()
