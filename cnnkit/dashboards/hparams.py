"""TensorBoard's table of runs: what was chosen, and what came out."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cnnkit.callbacks.best import find_best_checkpoint
from cnnkit.callbacks.logged import find_task_metrics
from cnnkit.dashboards.board import last_step, tensorboard
from cnnkit.metric_names import MONITOR

METRICS = ("val/acc", "val/loss", "val/ece", "train/acc", "train/loss", "images_per_second", "memory/peak_mb")


class HParams(Callback):
    """Gives a run its row in TensorBoard's hparams: there from the start, its metrics those of the scalars.

    The last values of what the task logs and of speed, so that a run that goes on or was stopped can be compared, too;
    and when it has ended the best score, by which its checkpoint was chosen: ``hp/val_acc``, say.

    Args:
        choices: flat name -> value, by which runs are compared.
    """

    def __init__(self, choices: dict[str, Any]) -> None:
        self.choices = choices
        self._done = False
        self._began_at = 0

    def state_dict(self) -> dict[str, Any]:
        """Whether the run has its row."""
        return {"done": self._done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run has it already."""
        self._done = state_dict["done"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the choices and the names of the metrics."""
        from torch.utils.tensorboard.summary import hparams

        self._began_at = trainer.global_step
        board = tensorboard(trainer)
        if not self._done and board is not None and trainer.is_global_zero:
            plain = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in self.choices.items()}
            writer: Any = board.experiment.file_writer
            for summary in hparams(plain, dict.fromkeys(_metrics(trainer, pl_module), 0.0))[:2]:  # type: ignore[no-untyped-call]
                writer.add_summary(summary)
        self._done = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the best score, unless nothing was trained."""
        board, score = tensorboard(trainer), best_score(trainer)
        if board is not None and trainer.is_global_zero and score is not None and trainer.global_step > self._began_at:
            board.log_metrics({_name(trainer): score}, last_step(trainer))


def best_score(trainer: L.Trainer) -> float | None:
    """The best monitored score, else the last ``val/acc``; None where there is none."""
    best = find_best_checkpoint(trainer)
    if best is not None and best.found():
        return best.scores[str(best.monitor)]
    last = trainer.callback_metrics.get(MONITOR)
    return None if best is not None or last is None else float(last)


def _name(trainer: L.Trainer) -> str:
    best = find_best_checkpoint(trainer)
    return f"hp/{(best.monitor if best and best.monitor else MONITOR).replace('/', '_')}"


def _metrics(trainer: L.Trainer, module: L.LightningModule) -> list[str]:
    """The best score first, then the usual ones, then the task's own."""
    own = find_task_metrics(trainer, module) or []
    best = find_best_checkpoint(trainer)
    monitored = [best.monitor] if best and best.monitor else []
    names = [_name(trainer), *monitored, *METRICS, *(f"{stage}/{name}" for name in own for stage in ("val", "train"))]
    return list(dict.fromkeys(names))
