"""Prints what a fit uses, when its trainer has refused nothing."""

from collections.abc import Callable
from typing import Any

from lightning.pytorch.callbacks import Callback

from cnnkit.notices import is_first_process


class AnnounceStart(Callback):
    """Prints the start of a fit before its first step, which may take minutes, and after all checks of the start.

    What these checks refuse prints its reason alone. What the first step refuses comes after the lines.

    Args:
        announce: prints it; called once, in the first process.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce: Callable[[], None] | None = announce if is_first_process() else None

    @property
    def idle_hooks(self) -> tuple[str, ...]:
        """What `SkipIdleHooks` leaves out after the first epoch."""
        return ("on_train_batch_start",) if self._announce is None else ()

    def announce(self) -> None:
        """Print it, if that has not been done."""
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()

    def on_train_batch_start(self, *args: Any) -> None:
        self.announce()
