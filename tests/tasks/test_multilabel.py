"""Several labels an image: loss, scores and thresholds against scikit-learn, and what a checkpoint keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from tiny_training import tiny_trainer
from torch.nn import functional as F

from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, ResNet, TransferTask, from_arrays
from cnnkit.callbacks import EMA
from cnnkit.errors import UserError
from cnnkit.stats.labels import compute_average_precision
from cnnkit.tasks.targets import BestThresholds, F1AtThresholds, ManyLabels, choose_thresholds, use_thresholds
from cnnkit.transforms import CutMix, MixUp

NAMES = ["red", "bright", "left"]


def made_images(count: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images whose three properties can be seen, and which of them each has."""
    rng = np.random.default_rng(seed)
    hot = (rng.random((count, 3)) < (0.5, 0.3, 0.2)).astype(int)
    images = rng.integers(0, 60, (count, 8, 8, 3))
    images[hot[:, 0] == 1, :, :, 0] += 90
    images[hot[:, 1] == 1] += 60
    images[hot[:, 2] == 1, :, :3] += 40
    return images.clip(0, 255).astype(np.uint8), hot


def made_data(**kwargs: Any) -> Any:
    images, hot = made_images()
    options = {"class_names": NAMES, "batch_size": 16, "eval_batch_size": 7, "val_size": 0.25, "test_size": 0.25}
    return from_arrays(images, hot, **{**options, "seed": 0, **kwargs})


def made_task(data: Any, kind: type[ClassificationTask] = ClassificationTask, **kwargs: Any) -> ClassificationTask:
    torch.manual_seed(0)
    net = CNN(**data.shape, channels=(8,), hidden_sizes=())
    return kind(net, optimizer=lambda groups: torch.optim.Adam(groups, lr=0.01), multilabel=True, **kwargs)


def predict(task: ClassificationTask, batches: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
    task.eval()
    with torch.no_grad():
        pairs = [(task.predict_step(images, 0), labels) for images, labels in (data.prepare(b, False) for b in batches)]
    return torch.cat([p for p, _ in pairs]).numpy(), torch.cat([y for _, y in pairs]).numpy()


def test_test_scores_are_those_of_scikit_learn_at_the_thresholds_of_validation() -> None:
    data = made_data()
    task = made_task(data)
    trainer = tiny_trainer(max_epochs=3)
    trainer.fit(task, datamodule=data)
    validated = {name: float(value) for name, value in trainer.callback_metrics.items()}
    of_val, has_val = predict(task, data.val_dataloader(), data)
    assert validated["val/map"] == pytest.approx(average_precision_score(has_val, of_val, average="macro"), abs=1e-5)
    thresholds = task.thresholds.numpy()
    assert [validated[f"val/threshold_class/{name}"] for name in NAMES] == pytest.approx(thresholds.tolist())
    scores = tiny_trainer().test(task, datamodule=data, verbose=False)[0]
    probabilities, has = predict(task, data.test_dataloader(), data)
    assert np.array_equal(task.thresholds.numpy(), thresholds)  # a test does not choose them again
    assert scores["test/map"] == pytest.approx(average_precision_score(has, probabilities, average="macro"), abs=1e-5)
    assert scores["test/f1"] == pytest.approx(f1_score(has, probabilities >= thresholds, average="macro"), abs=1e-5)
    assert scores["test/f1_half"] == pytest.approx(f1_score(has, probabilities >= 0.5, average="macro"), abs=1e-5)
    for k, name in enumerate(NAMES):
        of_class = has[:, k], probabilities[:, k] >= thresholds[k]
        assert scores[f"test/f1_class/{name}"] == pytest.approx(f1_score(*of_class), abs=1e-5)
        expected = average_precision_score(has[:, k], probabilities[:, k])
        assert scores[f"test/ap_class/{name}"] == pytest.approx(expected, abs=1e-5)
    bce = F.binary_cross_entropy(torch.from_numpy(probabilities), torch.from_numpy(has))
    assert scores["test/loss"] == pytest.approx(float(bce), abs=1e-5)
    assert scores["test/map"] > 0.7  # it has learned


PAIRS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.35, 0.5, 0.8, 0.95]), st.booleans()), min_size=1, max_size=30)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_no_threshold_has_a_higher_f1_score(pairs: list[tuple[float, bool]]) -> None:
    probabilities = np.array([p for p, _ in pairs], dtype=np.float32)
    has = np.array([h for _, h in pairs])
    found = float(choose_thresholds(torch.from_numpy(probabilities)[:, None], torch.from_numpy(has)[:, None].long()))
    if not has.any():
        assert found == 0.5
        return
    precision, recall, _ = precision_recall_curve(has, probabilities)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9))
    assert f1_score(has, probabilities >= found) == pytest.approx(best, abs=1e-6)
    assert compute_average_precision(probabilities, has) == pytest.approx(average_precision_score(has, probabilities))


def test_a_threshold_lies_between_neighboring_numbers() -> None:
    first = torch.tensor([1.0, 0.75, 0.3], dtype=torch.float32)
    second = first.nextafter(torch.zeros(3))
    third = second.nextafter(torch.zeros(3))
    for pair in ((first, second), (second, third)):  # rounding to even goes up for one of them, and down for the other
        probabilities = torch.stack(pair)
        thresholds = choose_thresholds(probabilities, torch.tensor([[1] * 3, [0] * 3]))
        assert (probabilities >= thresholds).tolist() == [[True] * 3, [False] * 3]


def test_thresholds_do_not_depend_on_how_images_are_batched() -> None:
    probabilities, has = torch.rand(50, 3), torch.rand(50, 3) > 0.6
    whole, parts = BestThresholds(3), BestThresholds(3)
    whole.update(probabilities, has.long())
    for piece, labels in zip(probabilities.split(7), has.split(7), strict=True):
        parts.update(piece, labels.long())
    assert torch.equal(whole.compute(), parts.compute())


def test_the_sanity_check_of_an_untrained_net_chooses_no_thresholds() -> None:
    data = made_data()
    task = made_task(data)
    tiny_trainer(max_epochs=1, num_sanity_val_steps=2, check_val_every_n_epoch=2).fit(task, datamodule=data)
    assert task.thresholds.tolist() == [0.5] * 3


def test_scores_at_two_thresholds_are_not_mixed_up_after_an_equal_first_batch() -> None:
    metrics = ManyLabels(CNN(num_classes=2)).adapt(ManyLabels(CNN(num_classes=2)).build_metrics(CNN()), "test")
    use_thresholds(metrics, torch.tensor([0.9, 0.9]))
    for p in (0.95, 0.6):
        metrics.update(torch.full((4, 2), p), torch.ones(4, 2).long())
    found = metrics.compute()
    assert float(found["f1_half"]) == 1
    assert float(found["f1"]) == pytest.approx(2 / 3)


def test_a_checkpoint_keeps_the_thresholds(tmp_path: Path) -> None:
    data = made_data()
    task = made_task(data)
    trainer = tiny_trainer(max_epochs=1)
    trainer.fit(task, datamodule=data)
    trainer.save_checkpoint(tmp_path / "task.ckpt")
    loaded = ClassificationTask.load_from_checkpoint(
        tmp_path / "task.ckpt", net=CNN(**data.shape, channels=(8,), hidden_sizes=())
    )
    assert loaded.multilabel
    assert torch.equal(loaded.thresholds, task.thresholds)
    assert not torch.equal(task.thresholds, torch.full((3,), 0.5))
    content = torch.load(tmp_path / "task.ckpt", weights_only=True)
    assert content["data"]["multilabel"] is True


def test_averaged_weights_have_the_thresholds_of_their_own_validation(tmp_path: Path) -> None:
    data = made_data()
    task = made_task(data)
    trainer = tiny_trainer(EMA(decay=0.9), max_epochs=2)
    trainer.fit(task, datamodule=data)
    chosen = [float(trainer.callback_metrics[f"val/threshold_class/{name}"]) for name in NAMES]
    assert task.thresholds.tolist() == pytest.approx(chosen)
    probabilities, has = predict(task, data.val_dataloader(), data)  # the weights are the average now
    expected = choose_thresholds(torch.from_numpy(probabilities), torch.from_numpy(has).long())
    assert task.thresholds.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0), CutMix()])
def test_mixed_labels_are_proportions_of_both_images(mix: Any) -> None:
    data = made_data(augment=[mix])
    batch = next(iter(data.train_dataloader()))
    _, labels = data.prepare(batch, training=True)
    kept = (labels - batch.labels.roll(1, 0)) / (batch.labels - batch.labels.roll(1, 0))
    kept = kept[torch.isfinite(kept)]
    assert kept.std() < 1e-5
    both = batch.labels.bool() & batch.labels.roll(1, 0).bool()
    assert torch.allclose(labels[both], torch.ones(()))
    task = made_task(data)
    tiny_trainer(max_epochs=1).fit(task, datamodule=data)


def test_label_smoothing_moves_each_label_toward_a_half() -> None:
    logits, labels = torch.randn(6, 3), (torch.rand(6, 3) > 0.5).float()
    found = ManyLabels(CNN(num_classes=3)).compute_loss(logits, labels, 0.2)
    assert torch.allclose(found, F.binary_cross_entropy_with_logits(logits, labels * 0.8 + 0.1))


def test_transfer_learning_learns_several_labels_too(tmp_path: Path) -> None:
    data = made_data(data_dir=str(tmp_path))
    for mode in ("frozen", "embeddings"):
        torch.manual_seed(0)
        task = TransferTask(CNN(**data.shape, channels=(8,), hidden_sizes=()), mode=mode, multilabel=True)
        trainer = tiny_trainer(max_epochs=1)
        trainer.fit(task, datamodule=data)
        assert 0 < float(trainer.callback_metrics["val/map"]) <= 1


def test_task_and_labels_must_agree() -> None:
    data = made_data()
    one = ClassificationTask(CNN(**data.shape, channels=(4,), hidden_sizes=()))
    with pytest.raises(UserError, match=r"set model\.multilabel to true"):
        tiny_trainer().fit(one, datamodule=data)
    with pytest.raises(UserError, match=r"set model\.multilabel to true"):
        tiny_trainer().test(one, datamodule=data)
    images, hot = made_images()
    with pytest.raises(UserError, match="has one label an image"):
        tiny_trainer().fit(made_task(data), datamodule=from_arrays(images, hot[:, 0] + hot[:, 1]))
    with pytest.raises(UserError, match="AuxiliaryLossTask has one class an image"):
        AuxiliaryLossTask(ResNet(num_classes=3), after=["layer1"], multilabel=True)


def test_a_class_without_positive_images_is_left_out_of_the_mean() -> None:
    metrics = ManyLabels(CNN(num_classes=2)).build_metrics(CNN())
    probabilities, labels = torch.rand(20, 2), torch.zeros(20, 2).long()
    labels[::3, 0] = 1
    metrics.update(probabilities, labels)
    expected = average_precision_score(labels[:, 0].numpy(), probabilities[:, 0].numpy())
    assert float(metrics.compute()["map"]) == pytest.approx(expected, abs=1e-6)
    assert F1AtThresholds(2, "macro").thresholds.tolist() == [0.5, 0.5]
