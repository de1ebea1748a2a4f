"""Stop a run early because a search prunes it."""

import math
from collections.abc import Callable

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.callbacks.logged import describe_missing_metric
from cnnkit.errors import UserError
from cnnkit.metric_names import is_lower_better


class StopWhen(Callback):
    """Stops a run after a validation if a function says so, such as the pruner of a search.

    Args:
        metric: such as ``val/acc``.
        says: called with the epoch, counted from 0, and the metric; true ends the run after this epoch.
    """

    def __init__(self, metric: str, says: Callable[[int, float], bool]) -> None:
        self.metric, self.says = metric, says
        self.best: float | None = None
        self.stopping_reason_message: str | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        score = trainer.callback_metrics.get(self.metric)
        if trainer.sanity_checking:
            return
        if score is None:
            if self.metric.startswith("val/"):
                raise UserError(describe_missing_metric("metric", self.metric, trainer.callback_metrics))
            return  # what is logged at an epoch's end comes later
        value = float(score)
        if math.isfinite(value):
            better = min if is_lower_better(self.metric) else max
            self.best = value if self.best is None else better(self.best, value)
        if self.says(trainer.current_epoch, value):
            trainer.should_stop = True
            self.stopping_reason_message = f"{self.metric} {value:.4g} is not worth going on with"
