"""Which classes a net confuses."""

import lightning as L
import numpy as np

from cnnkit.dashboards.after_validation import MOST_CLASSES, AfterValidation, class_names
from cnnkit.dashboards.board import Board, send_to_loggers
from cnnkit.reporting.figures import confusion_figure


class Confusion(AfterValidation):
    """Draws ``val/confusion``, the confusion matrix; logs ``val/acc_class/<name>``, for up to 20 classes."""

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        predicted, labels = kept[:, 1].astype(int), kept[:, 2].astype(int)
        names = class_names(trainer, int(kept[:, 1:].max()) + 1)
        if len(names) <= MOST_CLASSES:
            scores = {names[k]: float((predicted[labels == k] == k).mean()) for k in np.unique(labels)}
            send_to_loggers(trainer, {f"val/acc_class/{name}": score for name, score in scores.items()})

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        predicted, labels = kept[:, 1].astype(int), kept[:, 2].astype(int)
        names = class_names(trainer, int(kept[:, 1:].max()) + 1)
        matrix = np.bincount(labels * len(names) + predicted, minlength=len(names) ** 2).reshape(len(names), -1)
        board.add_figure("val/confusion", confusion_figure(matrix, names))
