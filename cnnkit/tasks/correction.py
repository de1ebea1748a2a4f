"""What is done to logits after training: a term for the size of each class, and a temperature for the probabilities.

Menon et al. 2021, arXiv 2007.07314, section 4.1 (the term); Guo et al. 2017, arXiv 1706.04599 (the temperature).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cnnkit.errors import UserError

KEY = "temperatures"  # of a checkpoint


class Correction:
    """Corrects logits of validation, test and prediction; the training loss never sees it.

    A temperature belongs to the views of each image (tta): averaged logits have another distribution. It changes
    probabilities alone, so no score of classes depends on it. Logits adjusted by ``tau`` have none: they are for
    classes of equal size, and the validation images, by which a temperature is fitted, have others.

    Args:
        tau: strength of the term; 0 leaves it out.
    """

    def __init__(self, tau: float = 0.0) -> None:
        self.temperatures: dict[str, float] = {}  # by tta
        self.class_counts: Sequence[int] | None = None  # training images of each class
        self.tau = 0.0
        self.use_tau(tau)

    def use_tau(self, tau: float, *, plain_loss: bool = True) -> None:
        """Subtract ``tau`` times the logarithm of each class's share of the training images from now on.

        Raises:
            UserError: it is no number from 0 up, or the training has made up for the sizes of the classes already.
        """
        if not 0 <= tau < math.inf:
            raise UserError(f"posthoc_tau is {tau}: give a number from 0 up")
        if tau and not plain_loss:
            raise UserError(
                "posthoc_tau is for a net with one class an image that was trained with plain cross entropy: its loss, "
                "class_weights or labels are others; leave it out"
            )
        self.tau = float(tau)

    def adjust(self, logits: Tensor) -> Tensor:
        """Return logits (B, K) minus tau times the logarithm of the classes' shares.

        Raises:
            UserError: the number of training images of each class is not known, or a class has none.
        """
        if not self.tau:
            return logits
        if self.class_counts is None:
            raise UserError(
                "posthoc_tau needs the number of training images of each class, which the checkpoint does not have; "
                "score it with its data (test --run RUN), or train again"
            )
        if 0 in self.class_counts:
            raise UserError("posthoc_tau needs training images of every class, and one has none: leave it out")
        counts = torch.tensor(self.class_counts, dtype=torch.float64)
        return logits - self.tau * (counts / counts.sum()).log().to(logits)

    def find_temperature(self, tta: str) -> float | None:
        """Return the temperature that was fitted for these views; None if there is none."""
        return None if self.tau else self.temperatures.get(tta)

    def scale(self, logits: Tensor, tta: str) -> Tensor:
        """Return adjusted logits (B, K) divided by the temperature of these views, if there is one."""
        return logits / (self.find_temperature(tta) or 1.0)

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Enter into a checkpoint what prediction needs."""
        if self.class_counts is not None:
            checkpoint["class_counts"] = list(self.class_counts)
        checkpoint.pop(KEY, None)
        if self.temperatures:
            checkpoint[KEY] = dict(self.temperatures)

    def load(self, checkpoint: dict[str, Any], *, resumes: bool = False) -> None:
        """Take what a checkpoint keeps; a fit that resumes changes the weights, which no temperature fits then."""
        self.temperatures = {} if resumes else dict(checkpoint.get(KEY, {}))
        self.class_counts = checkpoint.get("class_counts", self.class_counts)
