"""Prints what a fit uses, when nothing can be refused any more."""

from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.notices import is_first_process


class AnnounceStart(Callback):
    """Prints the start of a fit once its first step has a loss; what is refused before prints its reason alone.

    Args:
        announce: prints it; called once, in the first process.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce: Callable[[], None] | None = announce if is_first_process() else None

    @property
    def idle_hooks(self) -> tuple[str, ...]:
        """What `SkipIdleHooks` leaves out after the first epoch."""
        return ("on_before_backward",) if self._announce is None else ()

    def announce(self) -> None:
        """Print it, if that has not been done."""
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def on_before_backward(self, *args: Any) -> None:
        self.announce()

    def on_train_epoch_end(self, *args: Any) -> None:
        """Without a call of `on_before_backward`, as a task with an optimization of its own may be."""
        self.announce()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step:
            self.announce()
