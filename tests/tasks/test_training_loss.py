"""Losses for classes of different sizes, against references written out here, torch and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from cnnkit.errors import UserError
from cnnkit.tasks.loss import cross_entropy, focal_loss
from cnnkit.tasks.training_loss import TrainingLoss

COUNTS = [60, 25, 10, 5]


def draw(soft: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(12, 4, generator=generator)
    labels = torch.randint(0, 4, (12,), generator=generator)
    return logits, torch.rand(12, 4, generator=generator).softmax(1) if soft else labels


def make(name="cross_entropy", weights=None, smoothing=0.0, gamma=2.0, tau=1.0, classes=4):
    return TrainingLoss(name, weights, smoothing, gamma, tau, classes)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = torch.arange(4).repeat_interleave(torch.tensor(COUNTS)).numpy()
    loss = make(weights="balanced")
    loss.set_counts(COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    assert loss.facts["class_weights"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert loss.facts["class_counts"] == COUNTS


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_work_as_in_torch(soft: bool, smoothing: float) -> None:
    logits, labels = draw(soft)
    weights = [0.5, 1.0, 2.0, 4.0]
    reference = torch.nn.CrossEntropyLoss(torch.tensor(weights), label_smoothing=smoothing)
    torch.testing.assert_close(make(weights=weights, smoothing=smoothing)(logits, labels), reference(logits, labels))


def test_weighted_soft_targets_by_hand() -> None:
    """Divided by the number of images, not by their weights."""
    logits, targets = draw(soft=True)
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    total = 0.0
    for row, target in zip(logits.double(), targets.double(), strict=True):
        logs = row - row.logsumexp(0)
        total -= sum(float(w * t * log) for w, t, log in zip(weights, target, logs, strict=True))
    assert float(make(weights=weights.tolist())(logits, targets)) == pytest.approx(total / len(logits), rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_batch_of_classes_without_weight_trains_nothing(name: str, smoothing: float) -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    loss = make(name, weights=[1.0, 0.0, 2.0, 0.0], smoothing=smoothing)(logits, torch.tensor([1, 3, 1]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_by_hand(gamma: float) -> None:
    logits, labels = draw()
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(row[label]) / sum(map(math.exp, row))
        total -= (1 - p) ** gamma * math.log(p)
    assert float(focal_loss(logits, labels, gamma)) == pytest.approx(total / len(labels), rel=1e-5)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0, 4.0]])
def test_focal_loss_without_gamma_is_cross_entropy(soft: bool, smoothing: float, weights) -> None:
    logits, labels = draw(soft)
    loss = make("focal", weights, smoothing, gamma=0.0)(logits, labels)
    torch.testing.assert_close(loss, make(weights=weights, smoothing=smoothing)(logits, labels))


def test_focal_loss_of_certain_predictions_has_finite_gradients() -> None:
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0]), gamma=0.5).backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_logit_adjustment_is_equation_10(tau: float) -> None:
    """log(1 + sum over y' of (pi_y' / pi_y) ** tau * exp(f_y' - f_y))."""
    logits, labels = draw()
    loss = make("logit_adjusted", tau=tau)
    loss.set_counts(COUNTS)
    total = 0.0
    for row, y in zip(logits.double().tolist(), labels.tolist(), strict=True):
        others = (k for k in range(4) if k != y)
        total += math.log1p(sum((COUNTS[k] / COUNTS[y]) ** tau * math.exp(row[k] - row[y]) for k in others))
    assert float(loss(logits, labels)) == pytest.approx(total / len(labels), rel=1e-5)


def test_without_options_it_is_the_cross_entropy_of_before() -> None:
    logits, labels = draw()
    assert torch.equal(make(smoothing=0.1)(logits, labels), F.cross_entropy(logits, labels, label_smoothing=0.1))
    assert torch.equal(make()(logits, labels), cross_entropy(logits, labels))


def test_losses_of_16_bit_logits_are_of_32_bits() -> None:
    logits, labels = draw()
    for name in ("cross_entropy", "focal", "logit_adjusted"):
        loss = make(name, [1.0, 1.0, 2.0, 2.0])
        loss.set_counts(COUNTS)
        assert loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weights": [1.0, 2.0]}, "class_weights has 2 numbers for 4 classes"),
        ({"weights": [1.0, 2.0, -1.0, 1.0]}, "give balanced, or a weight from 0 up"),
        ({"weights": [0.0, 0.0, 0.0, 0.0]}, "at least one weight must be above 0"),
        ({"weights": [1.0, 2.0, math.nan, 1.0]}, "give balanced, or a weight from 0 up"),
        ({"weights": "sqrt"}, "give balanced, or a weight from 0 up"),
        ({"name": "hinge"}, "loss is 'hinge': choose one of cross_entropy, focal, logit_adjusted"),
        ({"gamma": -1.0}, "focal_gamma is -1.0"),
        ({"tau": math.inf}, "logit_tau is inf"),
        ({"gamma": 1.0}, "focal_gamma is 1.0, but loss is cross_entropy: set model.loss to focal"),
        ({"name": "focal", "tau": 2.0}, "logit_tau is 2.0, but loss is focal: set model.loss to logit_adjusted"),
        ({"smoothing": 1.0}, "label_smoothing is 1.0"),
    ],
)
def test_refusals(arguments, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(**arguments)


def test_classes_without_images_and_uncounted_classes_are_refused() -> None:
    for loss in (make(weights="balanced"), make("logit_adjusted")):
        with pytest.raises(UserError, match="cat has none"):
            loss.set_counts([5, 0], ["dog", "cat"])
        with pytest.raises(UserError, match="were not counted"):
            loss(*draw())
