"""The input of a net's last layer: the features that separate the classes."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from cnnkit.errors import UserError
from cnnkit.layers.probing import as_plain_code


def penultimate(net: nn.Module, images: Tensor) -> Tensor:
    """The input of the last dense or convolutional layer that runs, (B, D); of maps the mean over the pixels.

    The net runs once, in evaluation mode, without gradients, and is left as it was. Heads that only training uses do
    not run.

    Args:
        images: (B, C, H, W), as the net takes them.

    Raises:
        UserError: if no such layer runs.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 5), nn.ReLU(), nn.Linear(5, 10))
        >>> penultimate(net, torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 5])
    """
    inputs: list[Tensor] = []

    def keep(module: nn.Module, given: Any) -> None:
        inputs[:] = given[:1]

    with ExitStack() as stack:
        stack.enter_context(as_plain_code(net))
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                stack.callback(module.register_forward_pre_hook(keep).remove)
        with torch.no_grad():
            net(images)
    if not inputs:
        raise UserError(f"{type(net).__name__} has no penultimate layer: no Linear and no Conv2d runs in it")
    features = inputs[0]
    return features.mean((2, 3)) if features.ndim == 4 else features.flatten(1)
