"""Check that a net takes the images of its data, before the first step."""

from typing import TYPE_CHECKING

import torch

from cnnkit.errors import UserError
from cnnkit.layers.probing import evaluating
from cnnkit.transforms import ProgressiveResize

if TYPE_CHECKING:
    from cnnkit.tasks.classification import ClassificationTask


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
