"""What a validation says beyond one number: which classes are mixed up, and what the probabilities are worth."""

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from cnnkit.dashboards.board import Board, TimeBudget, open_board, send_to_loggers
from cnnkit.reporting.figures import confusion_figure, reliability_figure
from cnnkit.stats.calibration import bin_predictions

SHARE = 0.001  # of the run's time that each of these may draw
CLASSES = 20  # up to which each class has a number or a curve of its own


class AfterValidation(Callback):
    """Collects something of every validation image, of all ranks, and draws it.

    It reads ``logits`` and ``labels`` from what the task's ``validation_step`` returns, as that of `ClassificationTask`
    does; nothing is drawn where they are not there. Nothing makes the host wait within the validation.
    """

    def __init__(self) -> None:
        self.budget = TimeBudget(SHARE)
        self._kept: list[Tensor] = []

    def keep(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """What to keep of a batch, float32 (B, n): here confidence, predicted class and true class.

        Args:
            probabilities: (B, K).
            labels: (B,).
        """
        confidence, predicted = probabilities.max(1)
        return torch.stack([confidence, predicted, labels], dim=1)

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        """Log numbers, on every rank."""

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        """Draw, on the first rank, if there is time."""

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin anew."""
        self._kept = []

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch, on the device."""
        if isinstance(outputs, dict) and {"logits", "labels"} <= outputs.keys() and not trainer.sanity_checking:
            self._kept.append(self.keep(outputs["logits"].detach().float().softmax(1), outputs["labels"]))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Bring the ranks together, log, draw."""
        if not self._kept:
            return
        kept = _in_order(self._kept, trainer.world_size).cpu().numpy()
        self._kept = []
        self.log_scores(trainer, pl_module, kept)
        board = open_board(trainer)
        if board is not None and self.budget.due(trainer):
            with self.budget.spending():
                self.draw(trainer, board, kept)


class Confusion(AfterValidation):
    """Draws ``val/confusion``, which class was taken for which; logs ``val/acc_class/<name>``, for up to 20 classes."""

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        """Accuracy of each class that there is."""
        predicted, labels = kept[:, 1].astype(int), kept[:, 2].astype(int)
        names = class_names(trainer, int(max(predicted.max(), labels.max())) + 1)
        if len(names) <= CLASSES:
            scores = {names[k]: float((predicted[labels == k] == k).mean()) for k in np.unique(labels)}
            send_to_loggers(trainer, {f"val/acc_class/{name}": score for name, score in scores.items()})

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        """The matrix."""
        predicted, labels = kept[:, 1].astype(int), kept[:, 2].astype(int)
        names = class_names(trainer, int(max(predicted.max(), labels.max())) + 1)
        matrix = np.bincount(labels * len(names) + predicted, minlength=len(names) ** 2).reshape(len(names), -1)
        board.figure("val/confusion", confusion_figure(matrix, names))


class Reliability(AfterValidation):
    """Logs ``val/ece``, the expected calibration error, and draws ``val/reliability``, accuracy against confidence.

    Guo et al. 2017, arXiv 1706.04599.

    Args:
        bins: of equal width.
    """

    logs = ("val/ece",)

    def __init__(self, bins: int = 15) -> None:
        super().__init__()
        self.bins = bins

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        """The error."""
        pl_module.log("val/ece", bin_predictions(kept[:, 0], kept[:, 1] == kept[:, 2], self.bins).error)

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        """The diagram."""
        found = bin_predictions(kept[:, 0], kept[:, 1] == kept[:, 2], self.bins)
        board.figure("val/reliability", reliability_figure(found))


class PRCurves(AfterValidation):
    """Draws precision against recall of each class, ``pr/<name>``; of the first 20 where there are more."""

    def keep(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """The true class, then the probabilities."""
        return torch.cat([labels.unsqueeze(1), probabilities[:, :CLASSES]], dim=1)

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        """The curves."""
        labels, probabilities = kept[:, 0], kept[:, 1:]
        for k, name in enumerate(class_names(trainer, probabilities.shape[1])[: probabilities.shape[1]]):
            board.writer.add_pr_curve(f"pr/{name}", labels == k, probabilities[:, k], board.step)


def class_names(trainer: L.Trainer, count: int) -> list[str]:
    """Names of the classes: those of the data module, where it has at least so many, else numbers.

    Args:
        trainer: whose data module.
        count: how many classes have been seen.
    """
    names = [str(name) for name in getattr(getattr(trainer, "datamodule", None), "class_names", None) or ()]
    return names if len(names) >= count else [str(k) for k in range(count)]


def _in_order(batches: list[Tensor], world_size: int) -> Tensor:
    """All rows of all ranks, batch by batch; within a batch in the order of the ranks."""
    if world_size == 1:
        return torch.cat(batches)
    parts = [gather_all_tensors(batch.contiguous()) for batch in batches]
    return torch.cat([part for ranks in parts for part in ranks])
