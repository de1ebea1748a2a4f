"""The base of all pictures that show something of every validation image."""

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cnnkit.dashboards.board import Board, TimeBudget, open_board
from cnnkit.notices import say

_NEEDS_ONE_LABEL = (
    "several labels an image: TensorBoard shows no confusion matrix, reliability diagram and grid of mistakes, which "
    "are of one class an image"
)
MOST_CLASSES = 20  # up to which each class has a number or a curve of its own


class AfterValidation(Callback):
    """Collects a few numbers of every validation image, from all ranks, and draws them.

    It reads ``logits`` and ``labels`` from what the task's ``validation_step`` returns, as that of `ClassificationTask`
    does; without them it draws nothing. The host never waits for the device within the validation.
    """

    multilabel = False  # whether it shows several labels an image, too

    def __init__(self) -> None:
        self.budget = TimeBudget()
        self._kept: list[Tensor] = []

    def keep(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Choose what to keep of a batch, float32 (B, n): here confidence, predicted class and true class.

        Args:
            probabilities: (B, K).
            labels: (B,); with several labels an image (B, K).
        """
        confidence, predicted = probabilities.max(1)
        return torch.stack([confidence, predicted, labels], dim=1)

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        """Log numbers, on every rank."""

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        """Draw, on the first rank, if there is time."""

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._kept = []

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any
    ) -> None:
        if not isinstance(outputs, dict) or not {"logits", "labels"} <= outputs.keys() or trainer.sanity_checking:
            return
        logits, several = outputs["logits"].detach().float(), getattr(pl_module, "multilabel", False)
        if several and not self.multilabel:
            say(_NEEDS_ONE_LABEL)
            return
        self._kept.append(self.keep(logits.sigmoid() if several else logits.softmax(1), outputs["labels"]))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._kept:
            return
        kept = _gather(self._kept, trainer.world_size).cpu().numpy()
        self._kept = []
        self.log_scores(trainer, pl_module, kept)
        board = open_board(trainer)
        if board is not None and self.budget.is_left(trainer):
            with self.budget.spending():
                self.draw(trainer, board, kept)


def class_names(trainer: L.Trainer, count: int) -> list[str]:
    """Names of the classes: those of the data module if it has at least ``count``, else numbers."""
    names = [str(name) for name in getattr(getattr(trainer, "datamodule", None), "class_names", None) or ()]
    return names if len(names) >= count else [str(k) for k in range(count)]


def _gather(batches: list[Tensor], world_size: int) -> Tensor:
    """All rows of all ranks, batch by batch; within a batch in the order of the ranks."""
    if world_size == 1:
        return torch.cat(batches)
    parts = [gather_all_tensors(batch.contiguous()) for batch in batches]
    return torch.cat([part for ranks in parts for part in ranks])
