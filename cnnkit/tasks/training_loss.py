"""The loss of training: cross entropy and its variants for classes of different sizes."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cnnkit.errors import UserError
from cnnkit.tasks.loss import cross_entropy, focal_loss

LossName = Literal["cross_entropy", "focal", "logit_adjusted"]


class TrainingLoss:
    """Maps logits (B, K) and labels, int64 (B,) or soft (B, K), to the mean training loss, a scalar.

    Args:
        name: ``cross_entropy``; ``focal``, see `cnnkit.tasks.loss.focal_loss`; ``logit_adjusted``: cross entropy of the
            logits plus tau times the logarithm of each class's share of the training images (Menon et al. 2021,
            arXiv 2007.07314, equation 10).
        class_weights: a weight for each class, or ``balanced``: images / (classes * images of the class), counted in
            the training part. Their effect is that of ``torch.nn.CrossEntropyLoss``: the sum of the weighted losses is
            divided by the sum of the labels' weights, or for soft labels by the number of images.
        label_smoothing: share of each target spread evenly over all classes.
        focal_gamma: exponent of the focal loss.
        logit_tau: strength of the adjustment.
        classes: number of classes, if it is known.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        name: LossName,
        class_weights: Literal["balanced"] | Sequence[float] | None,
        label_smoothing: float,
        focal_gamma: float,
        logit_tau: float,
        classes: int | None,
    ) -> None:
        if name not in get_args(LossName):
            raise UserError(f"loss is {name!r}: choose one of {', '.join(get_args(LossName))}")
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing is {label_smoothing}: give a share from 0 up to, not including, 1")
        for key, value in (("focal_gamma", focal_gamma), ("logit_tau", logit_tau)):
            if not 0 <= value < math.inf:
                raise UserError(f"{key} is {value}: give a number from 0 up")
        for key, value, default, user in (
            ("focal_gamma", focal_gamma, 2.0, "focal"),
            ("logit_tau", logit_tau, 1.0, "logit_adjusted"),
        ):
            if value != default and name != user:
                raise UserError(f"{key} is {value}, but loss is {name}: set model.loss to {user}, or leave it out")
        self.name, self.label_smoothing = name, label_smoothing
        self.focal_gamma, self.logit_tau, self.class_weights = focal_gamma, logit_tau, class_weights
        self.is_plain = name == "cross_entropy" and class_weights is None
        self.class_counts: list[int] | None = None
        self.weights: list[float] | None = _check_weights(class_weights, classes)
        self.adjustment: list[float] | None = None  # what is added to the logits
        # By name and device. No buffers, because 16-true and bf16-true would round them.
        self._tensors: dict[tuple[str, torch.device], Tensor] = {}

    @property
    def counts_classes(self) -> bool:
        """Whether it needs the number of training images of each class, see `set_counts`."""
        return self.class_weights == "balanced" or self.name == "logit_adjusted"

    def set_counts(self, counts: Sequence[int], names: Sequence[str] = ()) -> None:
        """Compute weights and adjustment from the number of training images of each class.

        Raises:
            UserError: a class has none.
        """
        if 0 in counts:
            empty = names[list(counts).index(0)] if names else list(counts).index(0)
            key = "class_weights balanced" if self.class_weights == "balanced" else "loss logit_adjusted"
            raise UserError(f"model.{key} needs training images of every class, and {empty} has none: leave it out")
        self.class_counts = list(counts)
        shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
        self._tensors.clear()
        if self.class_weights == "balanced":
            self.weights = (1 / (len(counts) * shares)).tolist()
        if self.name == "logit_adjusted":
            self.adjustment = (self.logit_tau * shares.log()).tolist()

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest records: the loss, and the numbers that were counted."""
        facts: dict[str, Any] = {"name": self.name}
        if self.name == "focal":
            facts["focal_gamma"] = self.focal_gamma
        if self.name == "logit_adjusted":
            facts["logit_tau"] = self.logit_tau
        if self.weights is not None:
            facts["class_weights"] = [round(value, 6) for value in self.weights]
        if self.class_counts is not None:
            facts["class_counts"] = self.class_counts
        return facts

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.is_plain:
            return cross_entropy(logits, labels, self.label_smoothing)
        if self.counts_classes and self.class_counts is None:
            raise UserError(
                "the classes of the training images were not counted: call super().setup(stage) in your task's setup, "
                "or task.criterion.set_counts(counts)"
            )
        weights, adjustment = self._place("weights", logits), self._place("adjustment", logits)
        if self.name == "focal":
            return focal_loss(logits, labels, self.focal_gamma, self.label_smoothing, weights)
        if adjustment is not None:
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) + adjustment
        return cross_entropy(logits, labels, self.label_smoothing, weights)

    def _place(self, name: Literal["weights", "adjustment"], logits: Tensor) -> Tensor | None:
        """Return the weights or the adjustment, float32 (K,), on the device of the logits, where they stay."""
        if (values := getattr(self, name)) is None:
            return None
        key = name, logits.device
        if key not in self._tensors:
            self._tensors[key] = torch.tensor(values, dtype=torch.float32, device=logits.device)
        return self._tensors[key]


def _check_weights(given: Any, classes: int | None) -> list[float] | None:
    """Return weights that were given as a list; None if there are none, or they are to be counted."""
    if given is None or given == "balanced":
        return None
    if not all(isinstance(value, (int, float)) and 0 <= value < math.inf for value in given):
        raise UserError(f"class_weights is {given}: give balanced, or a weight from 0 up for each class")
    if not any(given):
        raise UserError(f"class_weights is {given}: at least one weight must be above 0")
    if classes is not None and len(given) != classes:
        raise UserError(f"class_weights has {len(given)} numbers for {classes} classes: give one for each class")
    return list(given)
