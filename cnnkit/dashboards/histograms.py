"""The distributions of weights and gradients in every layer."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.dashboards.board import find_tensorboard, is_sharded
from cnnkit.dashboards.layer_norms import layer_weights


class Histograms(Callback):
    """Writes histograms of every layer's weights and gradients, ``histograms/weights/<layer>`` and so on.

    It writes them at the first step and at every epoch's last step, before clipping. They take time and disk space,
    so they are off by default. Their names differ from those of the norms: TensorBoard shows one kind of data a name.
    """

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        logger = find_tensorboard(trainer)
        if logger is None or not trainer.is_global_zero or is_sharded(trainer):
            return
        if not (trainer.is_last_batch or trainer.global_step == 0):
            return
        for name, weight in layer_weights(pl_module):
            logger.experiment.add_histogram(f"histograms/weights/{name}", weight.detach().float(), trainer.global_step)
            if weight.grad is not None:
                logger.experiment.add_histogram(
                    f"histograms/gradients/{name}", weight.grad.float(), trainer.global_step
                )
