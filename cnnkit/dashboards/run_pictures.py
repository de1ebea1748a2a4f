"""What TensorBoard shows of a run beside its scalars."""

import warnings
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from cnnkit.dashboards.board import last_step, tensorboard
from cnnkit.reporting.grids import stretched, tile, to_images


class RunPictures(Callback):
    """Writes, once a run, a grid of augmented training images and the net's graph.

    Args:
        images: number of images in the grid.
    """

    def __init__(self, images: int = 64) -> None:
        self.images = images
        self._first: Tensor | None = None
        self._done = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the run has its pictures."""
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has its pictures already, unless it was stopped before."""
        self._done = state_dict["done"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first images, as the net sees them."""
        if self._done or self._first is not None or not trainer.is_global_zero:
            return
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        if torch.is_tensor(images) and images.ndim == 4:
            self._first = images[: self.images].detach().clone()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw them outside the time that is counted as training."""
        self._draw(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw them where nothing is validated."""
        self._draw(trainer, pl_module)

    def _draw(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        board, images, self._first = tensorboard(trainer), self._first, None
        if images is None or self._done:
            return
        self._done = True
        if board is not None:
            grid = image_grid(images, getattr(trainer, "datamodule", None))
            board.experiment.add_image("train/augmented", grid, last_step(trainer))
            self._graph(board, getattr(pl_module, "net", pl_module), images[:2])

    @staticmethod
    def _graph(board: TensorBoardLogger, net: torch.nn.Module, images: Tensor) -> None:
        modes = [(module, module.training) for module in net.modules()]  # a frozen part is in evaluation mode already
        net.eval()  # tracing runs the net, which must not touch batch norm's statistics
        try:
            with warnings.catch_warnings():  # the tracer is deprecated, and TensorBoard has no other
                warnings.simplefilter("ignore")
                with torch.autocast(images.device.type, enabled=False):
                    board.experiment.add_graph(net, images)
        except Exception as error:  # a net that cannot be traced still trains
            warnings.warn(
                f"no graph in TensorBoard: {type(error).__name__}: {str(error).splitlines()[0]}", stacklevel=2
            )
        finally:
            for module, mode in modes:
                module.training = mode


def image_grid(images: Tensor, datamodule: Any, columns: int = 8) -> Tensor:
    """Normalized images (B, C, H, W) as one picture uint8 (C, rows, columns), in their own grey values.

    Args:
        images: as the net gets them.
        datamodule: whose ``mean`` and ``std`` are undone; without them each image is stretched to full range.
        columns: images in a row.
    """
    images = images.detach().cpu()
    known = hasattr(datamodule, "mean")
    pixels = to_images(images, datamodule.mean, datamodule.std) if known else stretched(images)
    return tile(pixels, columns, fill=0)
