"""The progress of a run: a bar on a terminal, a line an epoch in a file."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cnnkit.callbacks.best import find_best_checkpoint
from cnnkit.metric_names import format_metric

FIRST, LAST = ("train/loss", "train/acc", "val/loss", "val/acc"), "images_per_second"


class EpochProgress(ProgressBar):
    """A bar of the epoch's steps, on terminals only, and one line with the numbers of every finished epoch.

    Redraws at most four times a second and reads only numbers that the host has already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(soft_wrap=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._drawn = 0.0
        self._enabled = True
        self._epoch = ""

    @property
    def idle_hooks(self) -> tuple[str, ...]:
        """What `SkipIdleHooks` leaves out: without a bar there is nothing to draw after a batch."""
        return () if self._enabled and self.console.is_terminal else ("on_train_batch_end",)

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._enabled and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
                auto_refresh=False,
            )
            self._bar.start()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._print_epoch(trainer)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if self._epoch:
            return
        self._epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs or '-'}"
        if self._bar is not None:
            self._task = self._bar.add_task(self._epoch, total=self.total_train_batches)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if self._bar is not None and self._task is not None and time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._bar.update(self._task, completed=trainer.fit_loop.batch_idx + 1, refresh=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()
        self._print_epoch(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._close()
        self._epoch = ""

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print_epoch(self, trainer: L.Trainer) -> None:
        # Not in on_train_epoch_end: callbacks come first there, and the task has not logged its means yet.
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        if self._enabled and self._epoch:
            have = trainer.callback_metrics
            numbers = "  ".join(f"{name} {format_metric(name, float(have[name]))}" for name in shown_metrics(trainer))
            self.console.print(f"{self._epoch}  {numbers}")
        self._epoch = ""


def shown_metrics(trainer: L.Trainer) -> list[str]:
    """The metrics of the epoch's line: the scalars that the task logs in training and validation, and the speed.

    Metrics of parts (``train/loss_aux/<head>``), of single steps and of callbacks are left out, unless one chooses the
    best checkpoint.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    best = find_best_checkpoint(trainer)
    monitored = best.monitor if best else None
    hidden = {name for callback in callbacks for name in getattr(callback, "logs", ())}
    have = [name for name in trainer.callback_metrics if not name.endswith("_step") and name not in hidden]
    own = {stage: sorted(n for n in have if n.startswith(stage) and n.count("/") == 1) for stage in ("train/", "val/")}
    order = [*FIRST[:2], *own["train/"], *FIRST[2:], *own["val/"], *([monitored] if monitored else []), LAST]
    return [name for name in dict.fromkeys(order) if name in trainer.callback_metrics]
