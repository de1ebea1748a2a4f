"""Checks of the net against the images."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from cnnkit import runs
from cnnkit.cli.commands.check.subject import Finding, Subject
from cnnkit.cli.commands.check.training import list_weights
from cnnkit.cli.parsing.build import build_data
from cnnkit.data.image_statistics import fits
from cnnkit.errors import UserError
from cnnkit.layers.probing import black_image, evaluating
from cnnkit.tasks import TransferTask

_SMALL = 32  # pixels up to which a stem for large images hurts
_STEM = 4  # its stride
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def check_stem(subject: Subject) -> Iterator[Finding]:
    """A stem for images of 224 pixels on small ones."""
    side = min(subject.image[1:])
    spatial = [row for row in subject.layers if len(row.shape) == 3 and isinstance(row.module, nn.Conv2d)]
    if side > _SMALL or len(spatial) < 2 or spatial[1].takes is None:
        return
    left = min(spatial[1].takes[-2:])
    if left * _STEM <= side:
        yield Finding(
            "model.net",
            f"the first layer and its pooling shrink an image of {side} pixels to {left}, before the second "
            "convolution sees it",
            "take a net for small images (ResNet, SpeedNet, CNN), or larger images (resize: 128 of TimmNet)",
        )


def check_stride(subject: Subject) -> Iterator[Finding]:
    """Convolutions on maps of one pixel, as the image is smaller than the total stride."""
    side = min(subject.image[1:])
    strides = [max(row.field.stride) for row in subject.layers if row.field and row.field.stride]
    wide = [row for row in subject.layers if isinstance(row.module, nn.Conv2d) and row.module.kernel_size != (1, 1)]
    alone = [row for row in wide if row.takes is not None and tuple(row.takes[-2:]) == (1, 1)]
    if strides and max(strides) > side and alone:
        yield Finding(
            "model.net",
            f"has a total stride of {max(strides):g} pixels, more than the image's {side}: {alone[0].name} and later "
            "layers see one pixel and their own padding",
            "take a net with fewer stages, or larger images",
        )


def check_logits(subject: Subject) -> Iterator[Finding]:
    """A net that does not take the images, or a head for another number of classes."""
    shape, wanted = subject.image, subject.data.num_classes
    try:
        with evaluating(subject.task), torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = int(subject.task(black_image(subject.net, shape)).shape[-1])
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Finding(
            "model.net",
            f"does not take images of {'x'.join(map(str, shape))} ({reason})",
            "take a net for images of this shape",
        )
        return
    if found != wanted:
        yield Finding(
            "model.net", f"gives {found} logits, and the data have {wanted} classes", f"give it num_classes={wanted}"
        )


def check_batch_norm(subject: Subject) -> Iterator[Finding]:
    """Batch norm over a single image."""
    task = subject.task
    held = isinstance(task, TransferTask) and (task.mode in ("frozen", "embeddings") or task.freeze_norm)
    if held or not any(isinstance(module, _NORMS) for module in subject.net.modules()):
        return
    images, size, devices = len(subject.data.train_indices), subject.data.batch_size, subject.arguments.get("devices")
    each = size // devices if isinstance(devices, int) and devices > 0 else size
    if each == 1:
        yield Finding(
            "data.batch_size",
            "leaves one image a device, and batch norm needs several to estimate mean and variance",
            "give at least 8 a device, or a net with another norm",
        )
    elif not subject.data.drop_last and images % size == 1:
        yield Finding(
            "data.drop_last",
            f"is false, and the last batch of {images:,} images has one, of which batch norm learns a wrong variance",
            "set it to true, or give another batch_size",
        )


def check_normalization(subject: Subject) -> Iterator[Finding]:
    """Images that are normalized otherwise than those on which the weights were trained."""
    expected = _find_expected(subject)
    if expected is None or len(expected[0]) != len(subject.data.mean):
        return
    mean, std = expected
    if not fits(list(mean), list(std), subject.data.mean, subject.data.std):
        yield Finding(
            "data.mean, data.std",
            "differ from those of the images on which the pretrained weights were trained",
            f"give data.mean {_format(mean)} and data.std {_format(std)}",
        )


def _find_expected(subject: Subject) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The mean and deviation of the pretrained weights; None if there are none, or the net sees to it itself."""
    weights = list_weights(subject)
    if not weights or getattr(subject.net, "scale", None) is not None:  # TimmNet adapts the images
        return None
    for place in (runs.locate_runs(name) for name in weights if isinstance(name, str)):
        if place.is_dir():
            with suppress(UserError):  # the data of that run may be gone
                data: Any = build_data(runs.choose_finished(place))
                return tuple(data.mean), tuple(data.std)
    config = getattr(subject.net, "pretrained_cfg", None)  # of a net of timm
    if isinstance(config, dict) and "mean" in config:
        return tuple(config["mean"]), tuple(config["std"])
    init = subject.config["model"].get("init_args", {})
    net = init.get("net")
    name = net.get("class_path", "") if isinstance(net, dict) else ""
    return _IMAGENET if name.startswith("torchvision.models.") and net["init_args"].get("weights") else None


def _format(numbers: tuple[float, ...]) -> str:
    return "[" + ",".join(f"{number:g}" for number in numbers) + "]"
