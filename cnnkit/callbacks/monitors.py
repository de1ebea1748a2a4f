"""Whether the metrics that callbacks and schedules monitor are logged, and have the right mode."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning as L
from lightning.pytorch.callbacks import Callback, Checkpoint

from cnnkit.callbacks.best import BestCheckpoint
from cnnkit.callbacks.logged import describe_missing_metric, find_logged_metrics
from cnnkit.errors import UserError
from cnnkit.metric_names import is_lower_better
from cnnkit.notices import say


class CheckMonitors(Callback):
    """Checks, before the first step, what EarlyStopping, ReduceLROnPlateau and the user's own checkpoints monitor.

    A metric that nothing logs ends the run, as far as that can be known. A wrong mode (``min``, the default of most,
    for an accuracy) is reported.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        known = find_logged_metrics(trainer, pl_module)
        for watcher in _watchers(trainer):
            if known is not None and watcher.monitor not in known | watcher.counters:
                raise UserError(describe_missing_metric(f"{watcher.key} of {watcher.name}", watcher.monitor, known))
            if watcher.monitor in watcher.counters:
                continue
            if watcher.mode in ("min", "max") and (watcher.mode == "min") is not is_lower_better(watcher.monitor):
                better = "lower" if is_lower_better(watcher.monitor) else "higher"
                say(
                    f"{watcher.name} looks at {watcher.monitor} with mode {watcher.mode}, but by its name the {better} "
                    f"is the better; give mode: {'min' if better == 'lower' else 'max'}"
                )


class _Watcher(NamedTuple):
    name: str
    monitor: str
    mode: str
    key: str = "trainer.callbacks: monitor"
    counters: frozenset[str] = frozenset()  # what it can monitor, and nothing logs


def _watchers(trainer: L.Trainer) -> Iterator[_Watcher]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and not isinstance(callback, BestCheckpoint):
            counters = frozenset({"epoch", "step"} if isinstance(callback, Checkpoint) else ())
            yield _Watcher(type(callback).__name__, monitor, str(getattr(callback, "mode", "")), counters=counters)
    for schedule in trainer.lr_scheduler_configs:
        if schedule.reduce_on_plateau and isinstance(schedule.monitor, str):
            mode = str(getattr(schedule.scheduler, "mode", ""))
            yield _Watcher(type(schedule.scheduler).__name__, schedule.monitor, mode, "model.monitor")
