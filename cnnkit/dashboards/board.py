"""Where callbacks draw, and for how long they may."""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from cnnkit.reporting.figures import png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TimeBudget:
    """Time that somebody may spend: a small share of what has passed. The last epoch is always worth it.

    What takes 0.1 s is then drawn after every epoch of a long training, and after some of a short one.

    Args:
        share: of the time since this was made.
    """

    def __init__(self, share: float) -> None:
        self.share, self.spent = share, 0.0
        self._began = time.perf_counter()

    def due(self, trainer: L.Trainer) -> bool:
        """Whether there is time left, or no other chance."""
        return is_last(trainer) or self.spent <= self.share * (time.perf_counter() - self._began)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time within."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - began


class Board:
    """TensorBoard at one step.

    Args:
        logger: the trainer's.
        step: to which all that is drawn belongs.
    """

    def __init__(self, logger: TensorBoardLogger, step: int) -> None:
        self.writer: Any = logger.experiment
        self.folder, self.step = logger.log_dir, step

    def picture(self, tag: str, image: Tensor) -> None:
        """Show an image uint8 (C, H, W), C one or three."""
        self.writer.add_image(tag, image, self.step)

    def figure(self, tag: str, figure: "Figure", dpi: int = 100) -> None:
        """Show a figure. TensorBoard's own way to draw one sets pyplot up, with a window where there is a screen."""
        from PIL import Image

        with Image.open(io.BytesIO(png_bytes(figure, dpi))) as image:
            self.writer.add_image(tag, np.asarray(image.convert("RGB")), self.step, dataformats="HWC")


def open_board(trainer: L.Trainer) -> Board | None:
    """Where to draw now: None without a TensorBoard logger, on all ranks but the first, and in a sanity check."""
    logger = tensorboard(trainer)
    if logger is None or not trainer.is_global_zero or trainer.sanity_checking:
        return None
    return Board(logger, last_step(trainer))


def tensorboard(trainer: L.Trainer) -> TensorBoardLogger | None:
    """The trainer's TensorBoard logger, if it has one."""
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def find_net(trainer: L.Trainer, module: L.LightningModule) -> nn.Module | None:
    """The task's net, if one rank alone may look at its weights and run it: None where the ranks share them out."""
    if is_sharded(trainer):
        return None
    net = getattr(module, "net", module)
    return net if isinstance(net, nn.Module) else module


def is_sharded(trainer: L.Trainer) -> bool:
    """Whether no rank has all the weights: to ask for a norm would then be asking all ranks."""
    return trainer.world_size > 1 and not isinstance(trainer.strategy, DDPStrategy)


def last_step(trainer: L.Trainer) -> int:
    """The step that was done last, counted from 0: to it belongs what an epoch's end logs."""
    return max(0, trainer.global_step - 1)


def is_last(trainer: L.Trainer) -> bool:
    """Whether the run is in its last validation, as far as can be known."""
    epochs, steps = trainer.max_epochs or -1, trainer.max_steps
    ends = trainer.should_stop or 0 < epochs <= trainer.current_epoch + 1 or 0 < steps <= trainer.global_step
    return ends and trainer.is_last_batch


def send_to_loggers(trainer: L.Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Give values to the loggers alone, not to ``trainer.callback_metrics``: there can be hundreds of them.

    Args:
        trainer: whose loggers.
        values: by name.
        step: they belong to; none given: the last one.
    """
    for logger in trainer.loggers if values else ():
        logger.log_metrics(dict(values), last_step(trainer) if step is None else step)
