"""Finds the function of torchvision that makes a given net, with its own last layer or one of other classes."""

import torch
from torch import nn

from cnnkit.cli.objects.verify import find_difference
from cnnkit.metrics import count_classes
from cnnkit.recorded import Call


def name_library(net: nn.Module) -> str:
    """Return the library of nets that a net's class is from; nothing for all others."""
    home = type(net).__module__
    return next((name for name in ("torchvision", "timm") if home.startswith(f"{name}.models.")), "")


def find_factory(net: nn.Module) -> Call | None:
    """Find the call of a function of torchvision that makes a net of the same structure; None if there is none."""
    from torchvision import models

    for name in models.list_models(module=models):
        build = models.get_model_builder(name)
        call = Call(getattr(models, name), (), {"num_classes": count_classes(net)})
        if build.__module__ == type(net).__module__ and _makes(call, net):
            return call
    return None


def _makes(call: Call, net: nn.Module) -> bool:
    """Whether a call makes a net of the same structure; nothing is computed for its weights."""
    try:
        with torch.device("meta"):
            made = call.target(**call.kwargs)
    except Exception:  # it needs other arguments
        return False
    return find_difference(net, made) is None
