"""Check that a net takes the images of its data, before the first step."""

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from cnnkit.errors import UserError
from cnnkit.layers.probing import as_plain_code, evaluating
from cnnkit.sizes import as_height_width
from cnnkit.transforms import ProgressiveResize

if TYPE_CHECKING:
    from cnnkit.tasks.classification import ClassificationTask


def lay_out(net: nn.Module, *, channels_last: bool) -> nn.Module:
    """Return a net with its convolutions' weights in the memory format of a task.

    Raises:
        UserError: a layer waits for its first images to know its size, so an optimizer would get no weights of it.
    """
    for name, weight in net.named_parameters():
        if isinstance(weight, UninitializedParameter):
            layer = net.get_submodule(name.rpartition(".")[0])
            raise UserError(
                f"model.net: {name} of {type(layer).__name__} has no size yet: take the layer that is not lazy, or "
                "run the net on a batch before you make the task"
            )
    return net.to(memory_format=torch.channels_last) if channels_last else net


def check_shapes(task: "ClassificationTask") -> None:
    """Compare the net with the data module of the fit.

    Raises:
        UserError: the net was built for other images or classes, or does not take the smaller images of the first
            epochs.
    """
    data = getattr(task.trainer, "datamodule", None)
    for name, of_data in (getattr(data, "shape", None) or {}).items():
        of_net = getattr(task.net, name, of_data)
        if of_net not in (of_data, (of_data, of_data)):
            net, images = type(task.net).__name__, type(data).__name__
            raise UserError(f"{net} was built for {name} {of_net}, but {images} has {of_data}: pass {name}={of_data}")
    if not type(task.net).__module__.startswith("cnnkit."):
        _refuse_late_layers(task, data)
    for transform in getattr(getattr(data, "augmentation", None), "transforms", ()):
        if isinstance(transform, ProgressiveResize) and data is not None:
            _try_small_images(task, transform, data.shape)


def check_labels(task: "ClassificationTask") -> None:
    """Compare what the task learns with the labels of the data module.

    Raises:
        UserError: one of them has several labels an image, and the other has one.
    """
    refuse_other_labels(task, getattr(task.trainer, "datamodule", None))


def refuse_other_labels(task: "ClassificationTask", data: object) -> None:
    """See `check_labels`; `data` is the data module, or None if that is not known."""
    several = getattr(data, "multilabel", task.multilabel)
    if several and not task.multilabel:
        raise UserError(f"{type(data).__name__} has several labels an image: set model.multilabel to true")
    if task.multilabel and not several:
        raise UserError(f"model.multilabel is true, but {type(data).__name__} has one label an image: leave it out")


def _refuse_late_layers(task: "ClassificationTask", data: Any) -> None:
    """Refuse a net whose first forward pass makes layers: the optimizer has been made already, and lacks them."""
    shape = getattr(data, "shape", None)
    if not shape:
        return
    before = {name for name, _ in task.net.named_parameters()}
    size = as_height_width(shape["image_size"])
    images = torch.zeros(1, shape["in_channels"], *size, device=task.device)
    quietly = contextlib.suppress(Exception)  # what the net does not take, the training says
    with quietly, as_plain_code(task.net), torch.no_grad(), torch.random.fork_rng(devices=[]):
        task(images)
    if late := sorted({name for name, _ in task.net.named_parameters()} - before):
        raise UserError(
            f"model.net: {type(task.net).__name__} makes {late[0]} in its forward, so the optimizer lacks it and would "
            "not train it: make all layers in __init__"
        )


def _try_small_images(task: "ClassificationTask", transform: ProgressiveResize, shape: dict[str, object]) -> None:
    size = shape["image_size"]
    height, width = transform.shrink(size if isinstance(size, (tuple, list)) else (size, size))
    images = torch.zeros(1, shape["in_channels"], height, width, device=task.device)  # type: ignore[call-overload]
    try:
        with evaluating(task.net), torch.no_grad(), torch.random.fork_rng(devices=[]):
            task(images)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"data.augment: {type(task.net).__name__} does not take the images of {height}x{width} pixels that "
            "ProgressiveResize makes: choose a net that ends with a mean or a maximum over all pixels (SpeedNet, "
            "ResNet, CNN with global_pool: true), or leave ProgressiveResize out"
        ) from error
