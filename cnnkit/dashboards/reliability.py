"""Whether a net's probabilities can be believed (Guo et al. 2017, arXiv 1706.04599)."""

import lightning as L
import numpy as np

from cnnkit.dashboards.after_validation import AfterValidation
from cnnkit.dashboards.board import Board
from cnnkit.reporting.figures import reliability_figure
from cnnkit.stats.calibration import Calibration, bin_predictions


class Reliability(AfterValidation):
    """Logs ``val/ece``, the expected calibration error, and draws ``val/reliability``, accuracy against confidence.

    Args:
        bins: of equal width.
    """

    logs = ("val/ece",)

    def __init__(self, bins: int = 15) -> None:
        super().__init__()
        self.bins = bins

    def log_scores(self, trainer: L.Trainer, pl_module: L.LightningModule, kept: np.ndarray) -> None:
        pl_module.log("val/ece", self._bin(kept).error)

    def draw(self, trainer: L.Trainer, board: Board, kept: np.ndarray) -> None:
        board.add_figure("val/reliability", reliability_figure(self._bin(kept)))

    def _bin(self, kept: np.ndarray) -> Calibration:
        return bin_predictions(kept[:, 0], kept[:, 1] == kept[:, 2], self.bins)
