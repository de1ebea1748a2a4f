"""Precision against recall."""

import lightning as L
import numpy as np
import torch
from torch import Tensor

from cnnkit.dashboards.after_validation import MOST_CLASSES, AfterValidation, class_names
from cnnkit.dashboards.board import Board


class PRCurves(AfterValidation):
    """Draws precision against recall of each class, ``pr/<name>``, for the first 20 classes."""

    def keep(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([labels.unsqueeze(1), probabilities[:, :MOST_CLASSES]], dim=1)

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        if board.tensorboard is None:
            return
        labels, probabilities = kept[:, 0], kept[:, 1:]
        names = class_names(trainer, probabilities.shape[1])[: probabilities.shape[1]]
        for k, name in enumerate(names):
            board.tensorboard.experiment.add_pr_curve(f"pr/{name}", labels == k, probabilities[:, k], board.step)
