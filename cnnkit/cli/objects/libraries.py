"""Finds the function of torchvision or timm that makes a given net, with its own head or one of other classes."""

from typing import Any

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
    """Find the call of a library that makes a net of the same structure; None if there is none."""
    return _find_timm(net) if name_library(net) == "timm" else _find_torchvision(net)


def _find_torchvision(net: nn.Module) -> Call | None:
    from torchvision import models

    for name in models.list_models(module=models):
        build = models.get_model_builder(name)
        call = Call(getattr(models, name), (), {"num_classes": count_classes(net)})
        if build.__module__ == type(net).__module__ and _makes(call, net):
            return call
    return None


def _find_timm(net: nn.Module) -> Call | None:
    import timm

    facts: dict[str, Any] = getattr(net, "pretrained_cfg", None) or {}
    stem = next((module for module in net.modules() if isinstance(module, nn.Conv2d)), None)
    if not facts.get("architecture") or stem is None:
        return None
    sizes = {"num_classes": getattr(net, "num_classes", 1000), "in_chans": stem.in_channels * stem.groups}
    call = Call(timm.create_model, (), {"model_name": facts["architecture"], **sizes})
    return call if _makes(call, net) else None


def _makes(call: Call, net: nn.Module) -> bool:
    """Whether a call makes a net of the same structure; nothing is computed for its weights."""
    try:
        with torch.device("meta"):
            made = call.target(**call.kwargs)
    except Exception:  # it needs other arguments
        return False
    return find_difference(net, made) is None
