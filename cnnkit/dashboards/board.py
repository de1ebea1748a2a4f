"""Where dashboards draw, and for how long they may."""

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from cnnkit.dashboards.picture_senders import find_picture_sender
from cnnkit.reporting.figures import png_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 0.001  # of the run's time that each picture may take


class TimeBudget:
    """Time for drawing: a small share of the time that has passed. The last epoch is always drawn.

    What takes 0.1 s is drawn after every epoch of a long training, and after some epochs of a short one.

    Args:
        share: of the time since this object was made.
    """

    def __init__(self, share: float = SHARE) -> None:
        self.share, self.spent = share, 0.0
        self._began = time.perf_counter()

    def is_left(self, trainer: L.Trainer) -> bool:
        """Whether there is time left, or no other chance to draw."""
        return is_last(trainer) or self.spent <= self.share * (time.perf_counter() - self._began)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time within."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - began


class OncePerRun(Callback):
    """A callback that does its work once a run; a resumed run does not repeat it."""

    def __init__(self) -> None:
        self.done = False

    def state_dict(self) -> dict[str, Any]:
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done = any(state_dict.values())  # version 0.1.0 has other keys


class Board:
    """The trainer's loggers at one step: TensorBoard, and every other one that takes pictures.

    Args:
        loggers: the trainer's.
        step: the step of all that is drawn.
    """

    def __init__(self, loggers: Sequence[Logger], step: int) -> None:
        self.tensorboard = next((logger for logger in loggers if isinstance(logger, TensorBoardLogger)), None)
        self.step = step
        self._senders = [sender for logger in loggers if (sender := find_picture_sender(logger)) is not None]

    def __bool__(self) -> bool:
        return bool(self._senders)

    def add_picture(self, tag: str, image: Tensor) -> None:
        """Show an image uint8 (C, H, W) of one or three channels."""
        pixels = image.detach().cpu().permute(1, 2, 0).numpy()
        self._send(tag, pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels)

    def add_figure(self, tag: str, figure: "Figure") -> None:
        """Show a figure. TensorBoard's own method needs pyplot, which opens a window where there is a screen."""
        from PIL import Image

        with Image.open(io.BytesIO(png_bytes(figure, 100))) as image:
            self._send(tag, np.asarray(image.convert("RGB")))

    def _send(self, tag: str, pixels: np.ndarray) -> None:
        for sender in self._senders:
            sender(tag, pixels, self.step)


def open_board(trainer: L.Trainer) -> Board | None:
    """The board of this step: None if no logger takes pictures, on all ranks but the first, and in a sanity check."""
    if not trainer.is_global_zero or trainer.sanity_checking:
        return None
    return Board(trainer.loggers, last_step(trainer)) or None


def find_tensorboard(trainer: L.Trainer) -> TensorBoardLogger | None:
    """The trainer's TensorBoard logger, if it has one."""
    return next((logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)), None)


def find_net(trainer: L.Trainer, module: L.LightningModule) -> nn.Module | None:
    """The task's net; None where its weights are sharded, so that one rank alone cannot run it."""
    if is_sharded(trainer):
        return None
    net = getattr(module, "net", module)
    return net if isinstance(net, nn.Module) else module


def is_sharded(trainer: L.Trainer) -> bool:
    """Whether no rank has all the weights: a norm would then need all ranks."""
    return trainer.world_size > 1 and not isinstance(trainer.strategy, DDPStrategy)


def last_step(trainer: L.Trainer) -> int:
    """The last finished step, counted from 0; what an epoch's end logs belongs to it."""
    return max(0, trainer.global_step - 1)


def is_last(trainer: L.Trainer) -> bool:
    """Whether this is the run's last validation, as far as can be known."""
    epochs, steps = trainer.max_epochs or -1, trainer.max_steps
    ends = trainer.should_stop or 0 < epochs <= trainer.current_epoch + 1 or 0 < steps <= trainer.global_step
    return ends and trainer.is_last_batch


def send_to_loggers(trainer: L.Trainer, values: Mapping[str, float], step: int | None = None) -> None:
    """Send values by name to the loggers alone, not to ``trainer.callback_metrics``: there can be hundreds.

    Args:
        values: by name.
        step: the step of the values; by default the last one.
    """
    for logger in trainer.loggers if values else ():
        logger.log_metrics(dict(values), last_step(trainer) if step is None else step)
