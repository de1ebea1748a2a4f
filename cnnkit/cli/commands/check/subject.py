"""What the checks look at: a task, its data and the arguments of its trainer, with what follows from them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jsonargparse import Namespace
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from cnnkit.data import ImageDataModule
from cnnkit.errors import UserError
from cnnkit.inspection.complexity import LayerRow, complexity
from cnnkit.layers.probing import image_shape
from cnnkit.optim import RunLength
from cnnkit.optim.factories import read_argument, split_factory

PARTS = ("train", "val", "test")


class Finding(NamedTuple):
    """Something in a configuration that will hurt.

    Attributes:
        key: where it stands.
        reason: what will happen.
        remedy: what to do.
    """

    key: str
    reason: str
    remedy: str


@dataclass
class Subject:
    """A configuration with its objects.

    Args:
        task: the task.
        data: the data module, set up.
        config: all values.
        trainer: the trainer's arguments, its objects built.
    """

    task: Any
    data: ImageDataModule
    config: dict[str, Any]
    trainer: Namespace

    @property
    def arguments(self) -> dict[str, Any]:
        """The trainer's arguments by name."""
        return vars(self.trainer)

    @property
    def net(self) -> Any:
        """The net."""
        return getattr(self.task, "net", self.task)

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """The labels of each part."""
        store = self.data.store
        assert store is not None
        return {
            "train": store.train_labels[self.data.train_indices],
            "val": store.train_labels[self.data.val_indices],
            "test": store.test_labels,
        }

    @cached_property
    def counts(self) -> dict[str, list[int]]:
        """The images of each class in each part."""
        classes = self.data.num_classes
        return {
            part: (labels.sum(0).long() if labels.ndim == 2 else labels.bincount(minlength=classes)).tolist()
            for part, labels in self.labels.items()
        }

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image."""
        return image_shape(self.net, self.data.image_size, self.data.in_channels)

    @cached_property
    def layers(self) -> list[LayerRow]:
        """The layers in the order in which they run; none if the net does not take the images."""
        try:
            return complexity(self.net, self.image).rows
        except UserError:
            return []

    @cached_property
    def all_batches(self) -> int:
        """Training batches of an epoch without a limit."""
        images, size = len(self.data.train_indices), self.data.batch_size
        return images // size if self.data.drop_last else math.ceil(images / size)

    @cached_property
    def batches(self) -> int:
        """Training batches of an epoch."""
        limit, count = self.arguments.get("limit_train_batches"), self.all_batches
        if limit is None:
            return count
        return min(count, limit) if isinstance(limit, int) else int(count * limit)

    @cached_property
    def length(self) -> RunLength | None:
        """The length of the run; None if it has no end that is known."""
        epochs, steps = self.arguments.get("max_epochs"), self.arguments.get("max_steps", -1)
        each = math.ceil(self.batches / (self.arguments.get("accumulate_grad_batches") or 1))
        if not each or (epochs in (None, -1) and steps == -1):
            return None
        total = min(each * epochs if epochs not in (None, -1) else math.inf, steps if steps != -1 else math.inf)
        return RunLength(int(total), math.ceil(total / each))

    @cached_property
    def rate(self) -> float | None:
        """The highest learning rate, if it is a number of the configuration."""
        schedule = getattr(self.task, "scheduler", None)
        highest = split_factory(schedule)[1].get("max_lr") if schedule is not None else None
        rate = read_argument(self.task.optimizer, "lr") if highest is None else highest
        return float(rate) if isinstance(rate, (int, float)) else None

    @property
    def callbacks(self) -> list[Any]:
        """The user's callbacks."""
        given = self.arguments.get("callbacks") or []
        return list(given) if isinstance(given, (list, tuple)) else [given]

    @property
    def transforms(self) -> list[Any]:
        """The augmentation."""
        return list(self.data.augmentation.transforms)

    def schedules(self) -> Iterator[tuple[str, Any]]:
        """Yield the schedule, and those that it consists of, with their keys."""
        schedule = getattr(self.task, "scheduler", None)
        if schedule is None:
            return
        yield "model.scheduler", schedule
        for number, part in enumerate(split_factory(schedule)[1].get("schedulers") or ()):
            if not isinstance(part, LRScheduler):
                yield f"model.scheduler.schedulers[{number}]", part
