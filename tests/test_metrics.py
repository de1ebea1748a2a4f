import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score
from torch import nn
from torchmetrics.classification import MulticlassF1Score

from cnnkit.metrics import ClassScores, MeanLoss, TopKAccuracy, build_accuracy, count_classes, hard_labels

SIZES = [64, 64, 64, 7]


def batches():
    rng = np.random.default_rng(0)
    for size in SIZES:
        yield rng.normal(size=(size, 5)).astype(np.float32), rng.integers(0, 5, size)


def sample_losses(logits, labels):
    logits = logits - logits.max(1, keepdims=True)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]


def test_the_mean_loss_weighs_samples_not_batches():
    metric, every = MeanLoss(), []
    for logits, labels in batches():
        loss = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels))
        metric.update(loss, n=len(labels))
        every.append(sample_losses(logits, labels))
    assert metric.compute().item() == pytest.approx(np.concatenate(every).mean(), rel=1e-6)
    assert metric.compute().item() != pytest.approx(np.mean([losses.mean() for losses in every]), rel=1e-4)


def test_accuracy_counts_samples():
    metric, right = build_accuracy(), []
    for logits, labels in batches():
        metric.update(torch.tensor(logits), torch.tensor(labels))
        right.append(logits.argmax(1) == labels)
    assert metric.compute().item() == pytest.approx(np.concatenate(right).mean())


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_top_k_counts_samples_whose_class_is_among_the_k_likeliest(k):
    metric, right = TopKAccuracy(k), []
    for logits, labels in batches():
        metric.update(torch.tensor(logits), torch.tensor(labels))
        right.append((np.argsort(-logits, axis=1)[:, :k] == labels[:, None]).any(1))
    assert metric.compute().item() == pytest.approx(np.concatenate(right).mean())


def test_the_number_of_classes_is_that_of_the_logits():
    told = nn.Linear(3, 4)
    told.num_classes = 7
    assert count_classes(told) == 7
    assert count_classes(nn.Sequential(nn.Linear(4, 30), nn.Linear(30, 12), nn.ReLU())) == 12
    assert count_classes(nn.Conv2d(1, 2, 3)) is None


def test_a_reset_starts_afresh_and_merging_adds_up():
    first, second = MeanLoss(), MeanLoss()
    first.update(torch.tensor(8.0), n=4)
    first.reset()
    first.update(torch.tensor(1.0), n=30)
    second.update(torch.tensor(2.0), n=10)
    first.merge_state(second)
    assert first.compute().item() == 1.25


def test_the_mean_loss_keeps_no_graph_and_adds_up_bfloat16_in_float32():
    metric = MeanLoss()
    parameter = torch.ones((), requires_grad=True)
    for _ in range(100):
        metric.update((parameter * 1.0).to(torch.bfloat16), n=257)  # bfloat16 has no 257
    assert not metric.total.requires_grad
    assert metric.compute().item() == 1.0


def test_a_diverged_loss_stays_visible():
    metric = MeanLoss()
    metric.update(torch.tensor(float("nan")), n=3)
    metric.update(torch.tensor(1.0), n=3)
    assert metric.compute().isnan()


def test_updates_never_read_a_value_on_the_host():
    """Tensors on the meta device have no values: reading one raises."""
    loss, accuracy = MeanLoss().to("meta"), build_accuracy().to("meta")
    logits, soft = torch.empty(8, 5, device="meta"), torch.empty(8, 5, device="meta")
    loss.update(logits.mean(), n=8)
    accuracy.update(logits, hard_labels(soft))
    accuracy.update(logits, torch.empty(8, dtype=torch.long, device="meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        logits.mean().item()


def test_soft_labels_become_the_likeliest_class():
    hard = torch.tensor([3, 0, 2])
    assert hard_labels(hard) is hard
    soft = 0.8 * torch.nn.functional.one_hot(hard, 5) + 0.04
    assert torch.equal(hard_labels(soft), hard)


@pytest.mark.parametrize("classes", [5, 7])  # of seven, two have neither labels nor predictions
def test_scores_by_class_are_those_of_torchmetrics_and_scikit_learn(classes):
    metric, every = ClassScores(), []
    for logits, labels in batches():
        wide = np.pad(logits, ((0, 0), (0, classes - 5)), constant_values=-9)
        labels = np.where(labels == 4, 3, labels)  # class 4 has predictions, but no labels
        metric.update(torch.tensor(wide), torch.tensor(labels))
        every.append((wide.argmax(1), labels))
    predicted, labels = (np.concatenate(each) for each in zip(*every, strict=True))
    found = metric.compute()
    macro = MulticlassF1Score(classes, average="macro")(torch.tensor(predicted), torch.tensor(labels))
    assert found["f1_macro"].item() == pytest.approx(macro.item(), abs=1e-6)
    assert found["f1_macro"].item() == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that class 4 is not in the labels
        balanced = balanced_accuracy_score(labels, predicted)
    assert found["acc_balanced"].item() == pytest.approx(balanced, abs=1e-6)
    expected = recall_score(labels, predicted, average=None, labels=range(4))
    np.testing.assert_allclose(found["recall"][:4].numpy(), expected, atol=1e-6)
    assert found["recall"][4:].isnan().all()
    metric.reset()
    metric.update(torch.eye(3), torch.arange(3))
    assert metric.compute()["f1_macro"].item() == 1
