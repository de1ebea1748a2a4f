"""Precision against recall."""

import lightning as L
import numpy as np
import torch
from torch import Tensor

from cnnkit.dashboards.after_validation import MOST_CLASSES, AfterValidation, class_names
from cnnkit.dashboards.board import Board


class PRCurves(AfterValidation):
    """Draws precision against recall of each class, ``pr/<name>``, for the first 20 classes."""

    multilabel = True

    def keep(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        shown = probabilities[:, :MOST_CLASSES]
        hot = (
            labels[:, :MOST_CLASSES] if labels.ndim == 2 else labels[:, None] == torch.arange(shown.shape[1]).to(labels)
        )
        return torch.cat([hot.to(shown.dtype), shown], dim=1)

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        if board.tensorboard is None:
            return
        hot, probabilities = np.split(kept, 2, axis=1)
        names = class_names(trainer, probabilities.shape[1])[: probabilities.shape[1]]
        for k, name in enumerate(names):
            board.tensorboard.experiment.add_pr_curve(f"pr/{name}", hot[:, k] > 0.5, probabilities[:, k], board.step)
