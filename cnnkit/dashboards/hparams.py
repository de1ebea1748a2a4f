"""TensorBoard's table of runs: the settings and the scores of each."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from cnnkit.callbacks.best import find_best_checkpoint
from cnnkit.callbacks.logged import find_task_metrics
from cnnkit.dashboards.board import OncePerRun, find_tensorboard, last_step
from cnnkit.metric_names import MONITOR
from cnnkit.runs import RunFolder

METRICS = ("val/acc", "val/loss", "val/ece", "train/acc", "train/loss", "images_per_second", "memory/peak_mb")


class HParams(OncePerRun):
    """Gives a run its row in TensorBoard's hparams table at the start; the metrics are those of the scalars.

    Other loggers get the settings as their hyperparameters.

    They are the last values of what the task logs and of speed, so stopped and unfinished runs can be compared too. At
    the end the best monitored score follows, such as ``hp/val_acc``, and after `cnnkit test` that of the test, such as
    ``hp/test_acc``. TensorBoard shows five settings and five metrics at first: those that differ, then the first ones.

    Args:
        choices: the settings by which runs are compared, by flat name.
    """

    def __init__(self, choices: dict[str, Any]) -> None:
        super().__init__()
        self.choices = choices
        self._began_at = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        from torch.utils.tensorboard.summary import hparams

        self._began_at = trainer.global_step
        logger = find_tensorboard(trainer)
        plain = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in self.choices.items()}
        for other in trainer.loggers if not self.done else ():
            if not isinstance(other, TensorBoardLogger):
                other.log_hyperparams(plain)
        if not self.done and logger is not None and trainer.is_global_zero:
            writer: Any = logger.experiment.file_writer
            for summary in hparams(plain, dict.fromkeys(_list_metrics(trainer, pl_module), 0.0))[:2]:  # type: ignore[no-untyped-call]
                writer.add_summary(summary)
        self.done = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        logger, score = find_tensorboard(trainer), best_score(trainer)
        trained = trainer.global_step > self._began_at
        if logger is not None and trainer.is_global_zero and score is not None and trained:
            logger.log_metrics({_score_name(trainer): score}, last_step(trainer))


def add_test_score(run: RunFolder, manifest: Mapping[str, Any]) -> None:
    """Add the test's score to the row of a run, if TensorBoard has one; it is the score that chose the checkpoint.

    Args:
        run: its folder holds the events.
        manifest: of the run, with ``test``, ``test_of`` and ``monitor``.
    """
    name = _name_test_score((manifest.get("monitor") or {}).get("metric"))
    score = manifest["test"].get(name.replace("hp/test_", "test/", 1))
    if score is None or not any(run.path.glob("events.out.tfevents.*")):
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(run.path, filename_suffix=".test") as writer:
        writer.add_scalar(name, score, manifest["test_of"]["step"])


def best_score(trainer: L.Trainer) -> float | None:
    """The best monitored score, else the last ``val/acc``; None if there is none."""
    best = find_best_checkpoint(trainer)
    if best is not None and best.describe_best():
        return best.scores[str(best.monitor)]
    last = trainer.callback_metrics.get(MONITOR)
    return None if best is not None or last is None else float(last)


def _score_name(trainer: L.Trainer) -> str:
    best = find_best_checkpoint(trainer)
    return f"hp/{(best.monitor if best and best.monitor else MONITOR).replace('/', '_')}"


def _name_test_score(monitor: str | None) -> str:
    return f"hp/test_{(monitor or MONITOR).rpartition('/')[2]}"


def _list_metrics(trainer: L.Trainer, module: L.LightningModule) -> list[str]:
    """The scores of test and best epoch first, then the usual metrics, then the task's own."""
    own = find_task_metrics(trainer, module) or []
    best = find_best_checkpoint(trainer)
    monitored = [best.monitor] if best and best.monitor else []
    of_task = [f"{stage}/{name}" for name in own for stage in ("val", "train")]
    scores = [_name_test_score(best.monitor if best else None), _score_name(trainer)]
    return list(dict.fromkeys([*scores, *monitored, *METRICS, *of_task]))
