"""A control for auxiliary heads: the larger total loss without the heads."""

import math

from torch import Tensor

from cnnkit.tasks import ClassificationTask
from cnnkit.tasks.classification import LabeledImages


class LargerLossTask(ClassificationTask):
    """Multiplies the training loss by 1 + ``extra`` at the first step; the factor falls to 1 at the last step.

    Args:
        extra: the sum of the weights of the heads that it stands for.
        **kwargs: as for ClassificationTask.
    """

    def __init__(self, *args, extra: float = 0.6, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.extra = extra
        self.last_step = math.inf

    def on_train_start(self) -> None:
        """Look up the last step."""
        super().on_train_start()
        self.last_step = self.trainer.estimated_stepping_batches - 1

    def compute_loss(self, batch: LabeledImages) -> tuple[Tensor, Tensor]:
        """Return the scaled loss and the logits."""
        loss, logits = super().compute_loss(batch)
        return loss * (1 + self.extra * max(0.0, 1 - self.global_step / self.last_step)), logits
