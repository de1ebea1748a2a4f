"""TensorBoard's table of runs: what was chosen, and what came out."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cnnkit.callbacks.drawing import step_of, tensorboard

BEST = "hp/val_acc"
METRICS = (BEST, "val/acc", "val/loss", "val/ece", "train/acc", "train/loss", "images_per_second", "memory/peak_mb")


class HParams(Callback):
    """Gives a run its row in TensorBoard's hparams: there from the start, its metrics those of the scalars.

    The last values of accuracies, losses and speed, so that a run that goes on or was stopped can be compared, too; and
    when it has ended ``hp/val_acc``, the best validation accuracy.

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
            writer: Any = board.experiment._get_file_writer()
            for summary in hparams(plain, dict.fromkeys(METRICS, 0.0))[:2]:  # type: ignore[no-untyped-call]
                writer.add_summary(summary)
        self._done = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the best score, unless nothing was trained."""
        board, score = tensorboard(trainer), best_accuracy(trainer)
        if board is not None and trainer.is_global_zero and score is not None and trainer.global_step > self._began_at:
            board.log_metrics({BEST: score}, step_of(trainer))


def best_accuracy(trainer: L.Trainer) -> float | None:
    """The best ``val/acc``, if that is what checkpoints are chosen by, else the last; None where there is none."""
    best = trainer.checkpoint_callback
    if isinstance(best, ModelCheckpoint) and best.monitor == "val/acc" and best.best_model_score is not None:
        return float(best.best_model_score)
    last = trainer.callback_metrics.get("val/acc")
    return None if last is None else float(last)
