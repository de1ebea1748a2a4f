"""What the first convolution looks for."""

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import nn

from cnnkit.dashboards.board import TimeBudget, find_net, open_board
from cnnkit.reporting.grids import kernel_grid


class Kernels(Callback):
    """Draws ``net/kernels``, the kernels of the first convolution, after an epoch.

    Args:
        kernels: how many at most.
    """

    def __init__(self, kernels: int = 64) -> None:
        self.kernels, self.budget = kernels, TimeBudget()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        board, net = open_board(trainer), find_net(trainer, pl_module)
        first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None) if net is not None else None
        if board is not None and first is not None and self.budget.is_left(trainer):
            with self.budget.spending():
                board.add_picture("net/kernels", kernel_grid(first.weight[: self.kernels]))
