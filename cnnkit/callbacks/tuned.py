"""The values that Lightning's finders have set before the first step."""

from collections.abc import Callable
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import BatchSizeFinder, Callback, LearningRateFinder


class Tuned(Callback):
    """Records the learning rate and the batch size that `LearningRateFinder` and `BatchSizeFinder` have set.

    Args:
        record: called with values by key, such as ``{"model.optimizer.lr": 0.01}``, on the first process, before the
            run writes anything else.
    """

    def __init__(self, record: Callable[[dict[str, Any]], None]) -> None:
        self.record = record

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        found: dict[str, Any] = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, LearningRateFinder) and callback.optimal_lr is not None:
                suggested, used = callback.optimal_lr.suggestion(), getattr(pl_module, "lr", None)
                if used == suggested:
                    found["model.optimizer.lr"] = used
                elif trainer.is_global_zero:
                    print(f"LearningRateFinder suggests {suggested:.4g}; the run keeps its own, {used}")
            if isinstance(callback, BatchSizeFinder) and trainer.global_step == 0:
                found["data.batch_size"] = getattr(trainer, "datamodule", pl_module).batch_size
        if found and trainer.is_global_zero:
            self.record(found)
