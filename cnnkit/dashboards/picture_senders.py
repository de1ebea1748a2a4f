"""How a picture gets into each of Lightning's loggers: they share a method for numbers, but none for pictures."""

import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

Sender = Callable[[str, np.ndarray, int], None]  # name, uint8 (H, W, 3), step
_failed: "weakref.WeakSet[Logger]" = weakref.WeakSet()


def find_picture_sender(logger: Logger) -> Sender | None:
    """Return the function that shows a picture in a logger; None if the logger takes none.

    TensorBoard, Weights & Biases (any logger with its ``log_image``), MLflow, and Comet (any logger whose experiment
    has Comet's ``log_image``) take pictures. The first that another logger than TensorBoard refuses is said in a line;
    after that it gets none, and the run goes on.
    """
    if isinstance(logger, TensorBoardLogger):
        writer: Any = logger.experiment
        return lambda tag, pixels, step: writer.add_image(tag, pixels, step, dataformats="HWC")
    # Lightning puts a DummyLogger, which swallows everything, in the place of the others in a fast_dev_run.
    send = None if logger in _failed or isinstance(logger, DummyLogger) else _find_sender(logger)
    if send is None:
        return None

    def try_to_send(tag: str, pixels: np.ndarray, step: int) -> None:
        if logger in _failed:
            return
        try:
            send(tag, pixels, step)
        except Exception as error:  # of a server, a network, or a library of which nothing is known here
            _failed.add(logger)
            reason = str(error).partition("\n")[0]
            print(f"no pictures in {type(logger).__name__}: {type(error).__name__}: {reason}", file=sys.stderr)

    return try_to_send


def _find_sender(logger: Any) -> Sender | None:
    from PIL import Image

    if callable(getattr(logger, "log_image", None)):
        return lambda tag, pixels, step: logger.log_image(key=tag, images=[Image.fromarray(pixels)], step=step)
    experiment: Any = getattr(logger, "experiment", None)
    if not callable(getattr(experiment, "log_image", None)):
        return None
    if isinstance(logger, MLFlowLogger):
        run = logger.run_id
        return lambda tag, pixels, step: experiment.log_image(run, Image.fromarray(pixels), key=tag, step=step)
    return lambda tag, pixels, step: experiment.log_image(Image.fromarray(pixels), name=tag, step=step)
