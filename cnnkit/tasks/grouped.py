"""Fewer calls of the training metrics: their updates are made for a group of steps at once."""

from collections.abc import Callable

import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MultilabelF1Score

from cnnkit.metrics import MeanLoss, TopKAccuracy, hard_labels


class GroupedUpdates:
    """Updates of a mean loss and of metrics, kept for a group of steps and made at once: few calls at a step.

    A result is the same to the last bit, for any size of a group: losses are added one after another, as single updates
    would, and only metrics that count are kept, see `adds_counts`. Nothing waits for the device.

    Args:
        prepare: makes what metrics are updated with of logits and labels.
    """

    STEPS = 32  # kept at most
    NUMBERS = 1 << 20  # logits kept at most, 4 MB, for nets of many classes

    def __init__(
        self, prepare: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None
    ) -> None:
        self._prepare = prepare or (lambda logits, labels: (logits, hard_labels(labels)))
        self._kept: list[tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]] = []
        self._full = 1  # steps; the first flush sees whether the metrics take more at once

    def keep(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> bool:
        """Keep copies of a batch's mean loss, logits (B, K), and labels, int64 (B,) or soft (B, K).

        Returns:
            Whether it is time to `flush`.
        """
        self._kept.append((loss.detach().clone(), len(labels), logits.detach().clone(), labels.clone()))
        return len(self._kept) >= self._full

    def flush(self, mean_loss: MeanLoss, metrics: MetricCollection) -> None:
        """Make the updates that are kept."""
        if not self._kept:
            return
        losses, sizes, logits, labels = zip(*self._kept, strict=True)
        self._kept = []
        mean_loss.update(losses, sizes)
        most = max(1, self.NUMBERS // max(1, *(each.numel() for each in logits)))
        self._full = min(self.STEPS, most) if adds_counts(metrics) else 1
        if all(len({(each.ndim, each.dtype) for each in parts}) == 1 for parts in (logits, labels)):
            logits, labels = (torch.cat(logits),), (torch.cat(labels),)
        for some, right in zip(logits, labels, strict=True):  # one by one if soft and hard labels alternate
            metrics.update(*self._prepare(some, right))


def adds_counts(metrics: MetricCollection) -> bool:
    """Whether an update with several batches at once changes no bit: all metrics count samples."""
    return all(
        type(each) in (TopKAccuracy, MultilabelF1Score)
        or (type(each) is MulticlassAccuracy and each.average == "micro" and each.multidim_average == "global")
        for each in metrics.values(copy_state=False)
    )
