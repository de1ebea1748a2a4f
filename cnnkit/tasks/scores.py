"""The scores of one stage: the mean loss, the metrics of the task, and those of the classes."""

from typing import cast

from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from cnnkit.metrics import ClassScores, MeanLoss, hard_labels
from cnnkit.tasks.grouped import GroupedUpdates
from cnnkit.tasks.targets import OneLabel


class StageScores(nn.ModuleDict):
    """Mean loss, metrics and, except in training, scores by class, over the samples of a stage.

    Args:
        metrics: of the task; a metric of theirs takes the place of one by class with the same name.
        stage: except in ``train``, classes are scored as well: macro F1, balanced accuracy, and the recall of each.
        targets: what the metrics of the task are updated with; several labels an image bring their own scores.
    """

    def __init__(self, metrics: MetricCollection, stage: str, targets: OneLabel) -> None:
        super().__init__({"loss": MeanLoss(), "metrics": targets.adapt(metrics, stage)})
        if stage != "train" and not targets.classes:
            self["classes"] = ClassScores()
        self._targets = targets

    @property
    def mean_loss(self) -> MeanLoss:
        """The mean loss."""
        return cast(MeanLoss, self["loss"])

    @property
    def task_metrics(self) -> MetricCollection:
        """The metrics of the task."""
        return cast(MetricCollection, self["metrics"])

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (B, K), and labels, int64 (B,) or (B, K)."""
        self.mean_loss.update(loss.detach(), len(labels))
        self.task_metrics.update(*self._targets.prepare(logits.detach(), labels))
        if "classes" in self:
            cast(ClassScores, self["classes"]).update(logits.detach(), hard_labels(labels))

    def compute(self) -> dict[str, Tensor]:
        """Return the scores by name, over all ranks; a metric that is no scalar is for a callback to draw."""
        scores = {"loss": self.mean_loss.compute(), **self.task_metrics.compute()}
        by_class = cast(ClassScores, self["classes"]).compute() if "classes" in self else {}
        return scores | {name: value for name, value in by_class.items() if name not in scores}

    def reset(self) -> None:
        """Forget all samples."""
        for scores in (self.mean_loss, self.task_metrics, *([self["classes"]] if "classes" in self else [])):
            cast(MeanLoss, scores).reset()

    def end_epoch(self) -> None:
        """Forget all samples, as those of the next epoch are others."""
        self.reset()


class TrainScores(StageScores):
    """Mean loss and metrics of the training part, updated for a group of steps at once.

    They stay as they are after the end of an epoch, because a resumed run may go on within an epoch that was cut short.
    The task resets them before the first batch of the next one.

    Args:
        metrics: of the task.
        targets: what they are updated with.

    Attributes:
        epoch_is_over: whether the samples are those of the epoch before.
        parts: means of the parts of a loss, which belong to the task and are kept and reset with the others.
    """

    def __init__(self, metrics: MetricCollection, targets: OneLabel) -> None:
        super().__init__(metrics, "train", targets)
        self.epoch_is_over = False
        self.parts: list[Metric] = []
        self._updates = GroupedUpdates(targets.prepare)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (B, K), and labels, int64 (B,) or soft (B, K)."""
        if self._updates.keep(loss, logits, labels):
            self._updates.flush(self.mean_loss, self.task_metrics)

    def list_metrics(self) -> list[Metric]:
        """Return all means and metrics, with all samples so far: what a resume within the epoch needs."""
        self._updates.flush(self.mean_loss, self.task_metrics)
        return [self.mean_loss, *self.task_metrics.values(copy_state=False), *self.parts]

    def compute(self) -> dict[str, Tensor]:
        """Return the scores of all samples so far by name, over all ranks."""
        self._updates.flush(self.mean_loss, self.task_metrics)
        return super().compute()

    def end_epoch(self) -> None:
        """Keep the samples, but mark them as those of an epoch that is over."""
        self.epoch_is_over = True

    def reset(self) -> None:
        """Forget all samples; an epoch begins."""
        super().reset()
        for part in self.parts:
            part.reset()
        self.epoch_is_over = False
