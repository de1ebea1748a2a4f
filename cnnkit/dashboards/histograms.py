"""How weights and gradients are distributed in every layer."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.dashboards.board import is_sharded, tensorboard
from cnnkit.dashboards.layer_norms import layer_weights


class Histograms(Callback):
    """Writes histograms of every layer's weights and gradients, ``histograms/weights/<layer>`` and so on.

    Of the first step and of every epoch's last one, before clipping. They take a while and much room: switched off
    unless asked for. Their names are not those of the norms: of two kinds of data with one name TensorBoard shows one.
    """

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Write them."""
        board = tensorboard(trainer)
        if board is None or not trainer.is_global_zero or is_sharded(trainer):
            return
        if not (trainer.is_last_batch or trainer.global_step == 0):
            return
        for name, weight in layer_weights(pl_module):
            board.experiment.add_histogram(f"histograms/weights/{name}", weight.detach().float(), trainer.global_step)
            if weight.grad is not None:
                board.experiment.add_histogram(f"histograms/gradients/{name}", weight.grad.float(), trainer.global_step)
