"""No calls of hooks that do nothing, at every step."""

import os
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

PER_BATCH = (
    *(f"on_{stage}_batch_{end}" for stage in ("train", "validation") for end in ("start", "end")),
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
LOOK = "PYTORCH_NVML_BASED_CUDA_CHECK"  # a setting of PyTorch, see its notes on CUDA semantics


class SkipIdleHooks(Callback):
    """Takes the hooks of single batches that a callback or the task inherits unchanged out of the training loop.

    For each of six hooks a step Lightning enters a profiler's context and builds a name for every callback and for the
    task, also where the hook does nothing: some 10 microseconds each. It leaves out an attribute that cannot be called,
    so such hooks are None while a fit runs, on the objects alone and not on their classes, and are back when it ends. A
    callback whose settings leave a hook without work says so in an attribute ``idle_hooks``, names of hooks.

    Optimizers ask at every step whether there is a GPU. Lightning has PyTorch ask the driver's library, which on a
    machine without one is looked for on the disk each time, 30 microseconds; there PyTorch's other way takes over.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[Callback | L.LightningModule, str]] = []
        self._look: str | None = None  # the setting outside the fit

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the idle hooks of all callbacks, this one's too, and of the task, and take them out."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self._restore()
        self._idle = [(each, name) for each in (*callbacks, pl_module) for name in idle_hooks(each)]
        for callback, name in self._idle:
            setattr(callback, name, None)
        if os.environ.get(LOOK) == "1" and not torch.cuda.is_available():
            self._look, os.environ[LOOK] = "1", "0"

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look again: some have done their work in the first epoch."""
        self.on_train_start(trainer, pl_module)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for callback, name in self._idle:
            if vars(callback).get(name, self) is None:
                delattr(callback, name)
        self._idle = []
        if self._look is not None:
            os.environ[LOOK], self._look = self._look, None


def idle_hooks(callback: Callback | L.LightningModule) -> list[str]:
    """Return the names of a callback's or module's hooks of single batches that do nothing.

    They are those of Lightning's base class, and those that a callback names in its attribute ``idle_hooks``.
    """
    kind, own, named = type(callback), vars(callback), getattr(callback, "idle_hooks", ())
    base: type = Callback
    names = PER_BATCH
    if not isinstance(callback, Callback):  # Lightning reads the signatures of a module's hooks of validation
        base, names = L.LightningModule, tuple(name for name in PER_BATCH if "validation" not in name)
    return [n for n in names if n not in own and (n in named or getattr(kind, n, None) is getattr(base, n))]
