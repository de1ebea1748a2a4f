"""Loss and accuracy over an epoch, weighted by sample; an update does not wait for the device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy


class MeanLoss(Metric):
    """Mean loss over all samples, for batches of any sizes.

    ``torchmetrics.MeanMetric`` makes the host wait for the device at every update; this does not. A NaN stays visible.

    Args:
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> metric = MeanLoss()
        >>> metric.update(torch.tensor(1.0), n=30)
        >>> metric.update(torch.tensor(2.0), n=10)
        >>> metric.compute().item()
        1.25
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    total: torch.Tensor
    count: torch.Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, loss: torch.Tensor | Sequence[torch.Tensor], n: int | Sequence[int]) -> None:
        """Add the mean loss of a batch of n samples, a scalar on the metric's device; or those of several batches."""
        total, count = self.total, 0
        for each, size in ((loss, n),) if isinstance(n, int) else zip(loss, n, strict=True):
            total, count = total + each.detach().float() * size, count + size  # type: ignore[union-attr]
        self.total, self.count = total, self.count + count

    def compute(self) -> torch.Tensor:
        """Return the mean over all samples; NaN before the first."""
        return self.total / self.count


def build_accuracy() -> MulticlassAccuracy:
    """Build the accuracy that papers report: correct samples over all samples (top-1, micro average).

    Its labels are class indices, see :func:`hard_labels`. Arguments are not validated, because this costs time at every
    step, and the host may have to wait for the device.

    Example:
        >>> accuracy = build_accuracy()
        >>> accuracy.update(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]), torch.tensor([1, 0, 1]))
        >>> round(accuracy.compute().item(), 3)
        0.667
    """
    return MulticlassAccuracy(average="micro", validate_args=False)


class TopKAccuracy(Metric):
    """Share of samples whose class is among the k likeliest; independent of the number of classes.

    Args:
        k: number of classes of a prediction; 5 is ImageNet's convention (Krizhevsky et al. 2012).
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> metric = TopKAccuracy(2)
        >>> metric.update(torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]), torch.tensor([1, 2]))
        >>> metric.compute().item()
        0.5
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: torch.Tensor
    count: torch.Tensor

    def __init__(self, k: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k
        self.add_state("correct", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: logits or probabilities (B, K), and labels (B,), int64."""
        likeliest = logits.topk(min(self.k, logits.shape[1]), dim=1).indices
        self.correct = self.correct + (likeliest == labels[:, None]).sum()
        self.count = self.count + len(labels)

    def compute(self) -> torch.Tensor:
        """Return the share of all samples; NaN before the first."""
        return self.correct / self.count


class ClassScores(Metric):
    """Scores by class: ``recall`` (K,), and over the classes their macro F1 and balanced accuracy.

    They are those of ``torchmetrics`` and scikit-learn: ``f1_macro`` averages over the classes that have a label or a
    prediction, ``acc_balanced``, the mean recall, over those that have a label. The number of classes is that of the
    first logits. An update does not wait for the device.

    Args:
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> metric = ClassScores()
        >>> metric.update(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]]), torch.tensor([0, 0, 1, 1]))
        >>> {name: value.tolist() for name, value in metric.compute().items()}
        {'recall': [1.0, 0.5], 'f1_macro': 0.7333333492279053, 'acc_balanced': 0.75}
    """

    NAMES = ("f1_macro", "acc_balanced")  # of the scalars
    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: torch.Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Correct samples, samples and predictions of each class; no columns before the first batch.
        self.add_state("counts", torch.zeros(3, 0, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: logits or probabilities (B, K), and labels (B,), int64."""
        classes = torch.arange(logits.shape[1], device=logits.device)
        labeled, predicted = labels[:, None] == classes, logits.argmax(1)[:, None] == classes
        counts = torch.stack([(labeled & predicted).sum(0), labeled.sum(0), predicted.sum(0)])
        self.counts = counts if self.counts.shape[1] != counts.shape[1] else self.counts + counts

    def compute(self) -> dict[str, torch.Tensor]:
        """Return the scores; NaN for the recall of a class without a label."""
        correct, labeled, predicted = self.counts.float()
        recall, f1 = correct / labeled, 2 * correct / (labeled + predicted)
        return {"recall": recall, "f1_macro": f1.nanmean(), "acc_balanced": recall.nanmean()}


def count_classes(net: nn.Module) -> int | None:
    """Return a net's number of logits: its ``num_classes``, else the width of its last Linear; None if unknown.

    Example:
        >>> count_classes(nn.Sequential(nn.Linear(4, 100), nn.ReLU(), nn.Linear(100, 20)))
        20
    """
    num_classes = getattr(net, "num_classes", None)
    if isinstance(num_classes, int):
        return num_classes
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    return linear[-1].out_features if linear else None


def hard_labels(labels: torch.Tensor) -> torch.Tensor:
    """Return class indices (B,) unchanged, and soft labels (B, K) as the index of the likeliest class.

    Example:
        >>> hard_labels(torch.tensor([[0.1, 0.9], [0.7, 0.3]])).tolist()
        [1, 0]
    """
    return labels.argmax(1) if labels.is_floating_point() else labels


def log_interval(trainer: Any) -> int:
    """Return the steps between two logged values of single steps, ``trainer.log_every_n_steps``."""
    return int(getattr(trainer, "log_every_n_steps", 50)) or 1
