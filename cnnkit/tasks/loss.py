"""The loss, computed in at least float32, and images in the floating-point type of the net."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnkit.errors import UserError


def match_dtype(images: Tensor, net: nn.Module) -> Tensor:
    """Return images in the dtype of the net's weights, which 16-true, bf16-true and 64-true change.

    Example:
        >>> match_dtype(torch.zeros(1, 3), nn.Linear(3, 2).double()).dtype
        torch.float64
    """
    weight = next(net.parameters(), None)
    if weight is None or weight.dtype == images.dtype or not weight.is_floating_point():
        return images
    return images.to(weight.dtype)


def cross_entropy(
    logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Return the mean cross entropy, a scalar of at least float32: sums over many classes are inexact in 16 bits.

    Args:
        logits: (B, K).
        labels: int64 (B,), or soft labels (B, K).
        label_smoothing: share of each target spread evenly over all classes.
        weights: of the classes, (K,), as in ``torch.nn.CrossEntropyLoss``; but if all images of a batch are of classes
            whose weight is 0, the loss is 0 and not NaN.

    Example:
        >>> cross_entropy(torch.zeros(2, 4, dtype=torch.bfloat16), torch.tensor([0, 3]))
        tensor(1.3863)
    """
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    targets = labels.to(exact.dtype) if labels.is_floating_point() else labels
    if weights is None:
        return F.cross_entropy(exact, targets, label_smoothing=label_smoothing)
    weights = weights.to(exact.dtype)
    losses = F.cross_entropy(exact, targets, weights, reduction="sum", label_smoothing=label_smoothing)
    return _average(losses, labels, weights)


def focal_loss(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, label_smoothing: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Return the mean focal loss of a softmax, a scalar: each class's term is multiplied by (1 - p) ** gamma.

    Lin et al. 2017 (arXiv 1708.02002) define it for sigmoids; their alpha is ``weights``. The mean is that of
    `cross_entropy`, which is the case gamma = 0.

    Args:
        logits: (B, K).
        labels: int64 (B,), or soft labels (B, K).
        gamma: exponent; larger values give less weight to samples that are classified well.
        label_smoothing: share of each target spread evenly over all classes.
        weights: of the classes, (K,).

    Example:
        >>> focal_loss(torch.zeros(2, 4), torch.tensor([0, 3]), gamma=2.0)  # 0.75 ** 2 * 1.3863
        tensor(0.7798)
    """
    logs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(1)
    hard = not labels.is_floating_point()
    targets = torch.zeros_like(logs).scatter_(1, labels[:, None], 1.0) if hard else labels.to(logs.dtype)
    targets = (1 - label_smoothing) * targets + label_smoothing / logs.shape[1]
    weights = torch.ones_like(logs[0]) if weights is None else weights.to(logs.dtype)
    # Where p = 1 the base is 0, and the gradient of a root of it infinite.
    modulation = (-torch.expm1(logs)).clamp(min=torch.finfo(logs.dtype).tiny) ** gamma
    return _average(-(weights * targets * modulation * logs).sum(), labels, weights)


def _average(losses: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Divide the sum of weighted losses by the sum of the labels' weights, or by the number of soft labels."""
    if labels.is_floating_point():
        return losses / len(labels)
    total = weights[labels].sum()
    return losses / torch.where(total > 0, total, math.inf)


def check_loss(task: object, output: Any) -> tuple[Tensor, Tensor]:
    """Return the output of a task's ``compute_loss`` if it is a loss and logits.

    Raises:
        UserError: it is anything else.
    """
    if isinstance(output, tuple) and len(output) == 2 and all(map(torch.is_tensor, output)) and output[0].ndim == 0:
        return output
    kinds = ", ".join(type(part).__name__ for part in output) if isinstance(output, tuple) else type(output).__name__
    raise UserError(
        f"{type(task).__name__}.compute_loss returns {kinds}: return two tensors, the loss, which is a scalar, and the "
        "logits (B, K)"
    )
