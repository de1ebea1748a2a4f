"""The augmented training images and the net's graph."""

import warnings
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from cnnkit.dashboards.board import OncePerRun, open_board
from cnnkit.dashboards.validation_images import to_pictures
from cnnkit.layers.probing import evaluating
from cnnkit.reporting.grids import tile


class RunPictures(OncePerRun):
    """Draws, once a run, a grid of augmented training images, ``train/augmented``, and the net's graph.

    Args:
        images: number of images in the grid.
    """

    def __init__(self, images: int = 64) -> None:
        super().__init__()
        self.images = images
        self._first: Tensor | None = None

    @property
    def idle_hooks(self) -> tuple[str, ...]:
        """What `SkipIdleHooks` leaves out: after the first pictures no batch is of interest."""
        return ("on_train_batch_start",) if self.done else ()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *args: Any) -> None:
        if self.done or self._first is not None or not trainer.is_global_zero:
            return
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        if torch.is_tensor(images) and images.ndim == 4:
            self._first = images[: self.images].detach().clone()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw(trainer, pl_module)  # outside the time that counts as training

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw(trainer, pl_module)  # where nothing is validated

    def _draw(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        images, self._first = self._first, None
        if images is None or self.done:
            return
        self.done = True
        board = open_board(trainer)
        if board is not None:
            board.add_picture("train/augmented", tile(to_pictures(trainer, images), fill=0))
            if board.tensorboard is not None:
                _add_graph(board.tensorboard, getattr(pl_module, "net", pl_module), images[:2])


def _add_graph(logger: TensorBoardLogger, net: torch.nn.Module, images: Tensor) -> None:
    try:
        # Tracing runs the net, which must not change batch norm's statistics. The tracer is deprecated, and TensorBoard
        # has no other.
        with warnings.catch_warnings(), evaluating(net), torch.autocast(images.device.type, enabled=False):
            warnings.simplefilter("ignore")
            logger.experiment.add_graph(net, images)
    except Exception as error:  # a net that cannot be traced still trains
        reason = str(error).partition("\n")[0]
        warnings.warn(f"no graph in TensorBoard: {type(error).__name__}: {reason}", stacklevel=2)
