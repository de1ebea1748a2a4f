"""No calls of hooks that do nothing, at every step."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

PER_BATCH = (
    *(f"on_{stage}_batch_{end}" for stage in ("train", "validation") for end in ("start", "end")),
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


class SkipIdleHooks(Callback):
    """Takes the hooks of single batches that a callback inherits unchanged out of the training loop.

    For each of six hooks a step Lightning enters a profiler's context and builds a name for every callback, also where
    the hook does nothing: some 10 microseconds each. It leaves out an attribute that cannot be called, so such hooks
    are None while a fit runs, on the callbacks alone and not on their classes, and are back when it ends.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[Callback, str]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the idle hooks of all callbacks, this one's too, and take them out."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self._restore()
        self._idle = [(each, name) for each in callbacks for name in idle_hooks(each)]
        for callback, name in self._idle:
            setattr(callback, name, None)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for callback, name in self._idle:
            if vars(callback).get(name, self) is None:
                delattr(callback, name)
        self._idle = []


def idle_hooks(callback: Callback) -> list[str]:
    """Return the names of a callback's hooks of single batches that do nothing: those of Lightning's base class."""
    kind, own = type(callback), vars(callback)
    return [n for n in PER_BATCH if n not in own and getattr(kind, n, None) is getattr(Callback, n)]
