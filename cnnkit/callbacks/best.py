"""The best epoch's weights: the highest or lowest monitored score, and in ties the lower validation loss."""

import math
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from cnnkit.callbacks.logged import describe_missing_metric, find_logged_metrics, higher_is_better
from cnnkit.errors import UserError
from cnnkit.metric_names import MONITOR, Mode, resolve_mode

TIE = "val/loss"


class _MovableCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which keeps the best score when the run folder is moved or copied."""

    idle_hooks = ("on_train_batch_end",)  # none saves by steps or minutes

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Look for the files in the folder where they are now."""

        def here(path: str) -> str:
            return str(Path(self.dirpath or "") / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best_k = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best_k, "dirpath": self.dirpath})


class BestCheckpoint(_MovableCheckpoint):
    """Saves one file, the best epoch's.

    Of epochs with equal scores the one with the lower ``val/loss`` is the best: few validation images tie at 100 %
    while the loss still falls. A score or validation loss that is no finite number is never the best.

    Args:
        folder: of the file, ``best.ckpt``.
        monitor: name of the score.
        mode: ``max``, ``min``, or ``auto``: by the name.
    """

    def __init__(self, folder: Path, monitor: str = MONITOR, mode: Mode = "auto") -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=monitor,
            mode=resolve_mode(monitor, mode),
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._by_name = mode == "auto"
        self.scores: dict[str, float] = {}  # all scores of the best epoch's validation, by name
        self.epoch = self.step = 0  # after which it was, counted from 1

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        if current is None or not math.isfinite(float(current)):
            return False
        loss = self._loss(trainer)
        if not math.isfinite(loss) and TIE in trainer.callback_metrics:
            return False
        is_best = super().check_monitor_top_k(trainer, current)
        if not is_best and self.best_model_score is not None and float(current) == float(self.best_model_score):
            lower = loss < self.scores.get(TIE, -math.inf)
            is_best = bool(trainer.strategy.reduce_boolean_decision(lower))
        if is_best:
            have = trainer.callback_metrics.items()
            self.scores = {k: float(v) for k, v in have if k.startswith("val/") or k == self.monitor}
            self.epoch, self.step = trainer.current_epoch + 1, trainer.global_step
        return is_best

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Refuse a score that nothing will log, as far as that can be known, before the first step."""
        super().on_train_start(trainer, pl_module)
        known = find_logged_metrics(trainer, pl_module)
        if known is not None and self.monitor not in known:
            raise UserError(describe_missing_metric("monitor", self.monitor, known))
        says = higher_is_better(pl_module, str(self.monitor))
        if self._by_name and says is not None and says is not (self.mode == "max"):
            better = "higher" if says else "lower"
            raise UserError(
                f"monitor is {self.monitor}: by its name the {'lower' if says else 'higher'} is the better, but the "
                f"metric itself says the {better}; give --mode {'max' if says else 'min'}"
            )

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.monitor not in trainer.callback_metrics and trainer.state.fn == TrainerFn.FITTING:
            if str(self.monitor).startswith("val/") and not trainer.sanity_checking:
                raise UserError(describe_missing_metric("monitor", self.monitor, trainer.callback_metrics))
            return  # what is logged at an epoch's end comes later
        super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.monitor not in trainer.callback_metrics:
            if not str(self.monitor).startswith("val/"):
                raise UserError(describe_missing_metric("monitor", self.monitor, trainer.callback_metrics))
            return  # not validated after this epoch
        super().on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "scores": dict(self.scores), "epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.scores = dict(state_dict.get("scores", {}))
        self.epoch, self.step = state_dict.get("epoch", 0), state_dict.get("step", 0)

    def describe_best(self) -> dict[str, float]:
        """Scores, epoch (counted from 1) and step of the best epoch, for the manifest; empty without a file."""
        if not Path(self.best_model_path or "?").exists():  # nothing was finite, or the disk was full
            return {}
        return {**self.scores, "epoch": self.epoch, "step": self.step}

    def _loss(self, trainer: L.Trainer) -> float:
        return float(trainer.callback_metrics.get(TIE, math.inf))


def build_checkpoints(
    folder: Path, monitor: str | None = MONITOR, mode: Mode = "auto", *, each_epoch: bool = False
) -> list[ModelCheckpoint]:
    """Build the run's two checkpoint callbacks: ``best.ckpt`` by the monitored score, and ``last.ckpt``.

    The best one comes first, so that ``last.ckpt`` holds its state. Lightning's ``save_last`` writes the last one only
    when it has just written a best one.

    Args:
        folder: of the files.
        monitor: name of the score; without one there is no best checkpoint.
        mode: see `BestCheckpoint`.
        each_epoch: save the last one at the end of each epoch; by default, as Lightning does, after each validation.
    """
    last = _MovableCheckpoint(
        dirpath=folder,
        filename="last",
        auto_insert_metric_name=False,
        enable_version_counter=False,
        save_on_train_epoch_end=each_epoch or None,
    )
    return [*([BestCheckpoint(folder, monitor, mode)] if monitor else []), last]


def find_best_checkpoint(trainer: L.Trainer) -> BestCheckpoint | None:
    """The trainer's `BestCheckpoint`, if it has one."""
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint)), None)
