"""What a task learns of each image: its one class, or which of the classes it has. Loss, scores and thresholds.

The thresholds of several labels maximize the F1 score of each class on the validation images (Lipton et al. 2014,
arXiv 1402.1892), so the F1 score of the test images is honest, and one of the validation images would not be.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score
from torchmetrics.utilities import dim_zero_cat

from cnnkit.errors import UserError
from cnnkit.metrics import TopKAccuracy, build_accuracy, count_classes, hard_labels
from cnnkit.tasks.loss import cross_entropy

NAMED = 20  # classes up to which each has scores of its own after every validation


class OneLabel:
    """One class an image: softmax and cross entropy."""

    classes = 0  # with a threshold

    def compute_loss(self, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of logits (B, K) for class indices (B,) or soft labels (B, K)."""
        return cross_entropy(logits, labels, label_smoothing)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (B, K)."""
        return logits.softmax(dim=1)

    def prepare(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return what metrics are updated with: logits (B, K) and class indices (B,)."""
        return logits, hard_labels(labels)

    def build_metrics(self, net: nn.Module) -> MetricCollection:
        """Build accuracy and, with more than ten classes, top-5 accuracy."""
        metrics: dict[str, Metric | MetricCollection] = {"acc": build_accuracy()}
        if (count_classes(net) or 0) > 10:
            metrics["acc_top5"] = TopKAccuracy(5)
        return MetricCollection(metrics)

    def adapt(self, metrics: MetricCollection, stage: str) -> MetricCollection:
        """Change the metrics for a stage: train, val, test or tta."""
        return metrics


class ManyLabels(OneLabel):
    """None, one or several classes an image: a sigmoid and a binary cross entropy for each class.

    Args:
        net: its number of logits is the number of classes.

    Raises:
        UserError: this number is not known.
    """

    def __init__(self, net: nn.Module) -> None:
        classes = count_classes(net)
        if classes is None:
            raise UserError(f"multilabel: {type(net).__name__} does not say its number of classes: give it num_classes")
        self.classes = classes

    def compute_loss(self, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean over images and classes, at least float32; labels are 0 to 1, (B, K)."""
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        targets = labels.to(exact.dtype) * (1 - label_smoothing) + label_smoothing / 2
        return F.binary_cross_entropy_with_logits(exact, targets)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def prepare(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, K), and labels 0 or 1 (B, K); mixed ones count from 0.5 on."""
        # Probabilities, because torchmetrics takes logits that all lie in [0, 1] for probabilities.
        return logits.float().sigmoid(), (labels >= 0.5).long()

    def build_metrics(self, net: nn.Module) -> MetricCollection:
        """Build the mean average precision, and the macro F1 score with 0.5 as the threshold of every class."""
        return MetricCollection(
            {
                "map": AveragePrecision(self.classes),
                "f1_half": MultilabelF1Score(self.classes, average="macro", validate_args=False),
            },
            compute_groups=False,  # torchmetrics would join metrics whose first batch gives equal counts
        )

    def adapt(self, metrics: MetricCollection, stage: str) -> MetricCollection:
        """In training, leave out metrics that keep every prediction; in a test, add the F1 score at the thresholds."""
        names = list(metrics.keys(keep_base=True))
        kept = {str(name): metrics[str(name)] for name in names}
        if stage == "train":
            kept = {name: metric for name, metric in kept.items() if not _keeps_predictions(metric)}
        elif stage == "val":
            kept |= {
                "ap_class": AveragePrecision(self.classes, "none"),
                "threshold_class": BestThresholds(self.classes),
            }
        else:
            f1 = {"f1": F1AtThresholds(self.classes, "macro"), "f1_class": F1AtThresholds(self.classes, "none")}
            kept |= {"ap_class": AveragePrecision(self.classes, "none"), **f1}
        return MetricCollection(kept, compute_groups=False)  # type: ignore[arg-type]


def choose_targets(net: nn.Module, multilabel: bool, plain_loss: bool) -> OneLabel:
    """Choose what a task learns of each image.

    Raises:
        UserError: there are several labels, and the loss is not plain cross entropy, or the net's classes are unknown.
    """
    if multilabel and not plain_loss:
        raise UserError("loss and class_weights are for one class an image: leave them out, or multilabel")
    return ManyLabels(net) if multilabel else OneLabel()


class AveragePrecision(MultilabelAveragePrecision):
    """The average precision of each class, or its mean; a class without positive images is NaN, and not in the mean.

    Args:
        classes: K.
        average: ``macro`` or ``none``.
    """

    def __init__(self, classes: int, average: Literal["macro", "none"] = "macro") -> None:
        super().__init__(classes, average="none", validate_args=False)
        self.is_mean = average == "macro"

    def compute(self) -> Tensor:  # type: ignore[override]
        """Return the mean, or (K,)."""
        present = dim_zero_cat(self.target).any(0)
        with warnings.catch_warnings():  # that a class has no positive images
            warnings.simplefilter("ignore")
            values = super().compute().where(present, torch.nan)
        return values.nanmean() if self.is_mean else values


class BestThresholds(Metric):
    """For each class the threshold that maximizes its F1 score; 0.5 for a class without positive images.

    An image has the class if its probability is at least the threshold, which lies halfway between two probabilities.

    Args:
        classes: K.
        kwargs: arguments of ``torchmetrics.Metric``.

    Example:
        >>> metric = BestThresholds(2)
        >>> metric.update(torch.tensor([[0.9, 0.9], [0.3, 0.8], [0.1, 0.2]]), torch.tensor([[1, 1], [1, 0], [0, 0]]))
        >>> metric.compute()
        tensor([0.2000, 0.8500])
    """

    is_differentiable = False
    full_state_update = False
    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch: probabilities (B, K), and labels (B, K), 0 or 1."""
        self.probabilities.append(probabilities)
        self.labels.append(labels)

    def compute(self) -> Tensor:
        """Return the thresholds (K,)."""
        return choose_thresholds(dim_zero_cat(self.probabilities), dim_zero_cat(self.labels))


def choose_thresholds(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return for each class the threshold with the highest F1 score, float32 (K,); see `BestThresholds`.

    Args:
        probabilities: (N, K).
        labels: (N, K), 0 or 1.
    """
    ordered, order = probabilities.sort(dim=0, descending=True)
    hits = labels.gather(0, order).cumsum(0).double()
    count = torch.arange(1, len(ordered) + 1, device=ordered.device, dtype=torch.float64)[:, None]
    scores = 2 * hits / (count + hits[-1])
    below = torch.cat([ordered[1:], torch.zeros_like(ordered[:1])])
    scores[below == ordered] = -1  # no threshold lies between equal probabilities
    best = scores.argmax(0, keepdim=True)
    least, next_lower = ordered.gather(0, best)[0], below.gather(0, best)[0]
    middle = (least + next_lower) / 2
    # Between neighboring numbers of a floating-point type there is none, and rounding may choose the lower one.
    thresholds = torch.where(middle > next_lower, middle, least)
    return torch.where(hits[-1] > 0, thresholds, 0.5).float()


class F1AtThresholds(MultilabelF1Score):
    """The F1 score with a threshold for each class.

    Args:
        classes: K.
        average: ``macro`` or ``none``.
    """

    thresholds: Tensor

    def __init__(self, classes: int, average: Any) -> None:
        super().__init__(classes, average=average, validate_args=False)
        self.register_buffer("thresholds", torch.full((classes,), 0.5), persistent=False)

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch: probabilities (B, K), and labels (B, K), 0 or 1."""
        super().update((probabilities >= self.thresholds).long(), labels)


def use_thresholds(metrics: MetricCollection, thresholds: Tensor) -> None:
    """Score with these thresholds, (K,), from now on."""
    for metric in metrics.values(copy_state=False):
        if isinstance(metric, F1AtThresholds):
            metric.thresholds.copy_(thresholds)


def name_scalars(values: Mapping[str, Any], trainer: Any, stage: str) -> dict[str, Tensor]:
    """Return scalars by name; one number for each class gets the names of the classes, in a test or if they are few."""
    names = getattr(getattr(trainer, "datamodule", None), "class_names", ())
    scalars: dict[str, Tensor] = {}
    for name, value in values.items():
        if torch.is_tensor(value) and value.ndim == 0:  # a confusion matrix is for a callback to draw
            scalars[name] = value
        elif name.endswith("_class") and len(value) == len(names) and (stage == "test" or len(names) <= NAMED):
            scalars |= {f"{name}/{each}": number for each, number in zip(names, value, strict=True)}
    return scalars


def _keeps_predictions(metric: Any) -> bool:
    return any(isinstance(value, list) for value in metric.metric_state.values())
