"""Logits corrected after training: the term against Menon's formula, and in whole runs."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_trainer import trainer
from small_runs import SMALL_NET, Cli
from torch import Tensor
from torch.nn import functional as F

import cnnkit
from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, FashionMNISTSample, TransferTask
from cnnkit.errors import UserError
from cnnkit.runs import find
from cnnkit.runs.predictions import load_predictions
from cnnkit.tasks.correction import Correction
from cnnkit.tasks.tta import average_views
from cnnkit.weights.checkpoints import load_checkpoint

SGD = partial(torch.optim.SGD, lr=0.01)
LONG_TAIL = ["--data.imbalance_ratio=20", "--trainer.max_epochs=1", "--watch=null", "--name=tail"]


def net() -> CNN:
    torch.manual_seed(0)
    return CNN(channels=(4, 8), hidden_sizes=(16,))


def test_with_tau_1_the_posterior_is_that_of_equally_frequent_classes() -> None:
    """By Bayes: of a posterior p(y|x) with priors pi, p(x|y) is p(y|x) / pi, normalized (Menon et al., section 4.1)."""
    correction = Correction(1.0)
    correction.class_counts = [70, 20, 10]
    logits = torch.randn(50, 3, dtype=torch.float64)
    likelihood = logits.softmax(1) / torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    expected = likelihood / likelihood.sum(1, keepdim=True)
    torch.testing.assert_close(correction.adjust(logits).softmax(1), expected)
    assert torch.equal(Correction(0.0).adjust(logits), logits)


@pytest.mark.parametrize("kind", [ClassificationTask, partial(AuxiliaryLossTask, after=["features.0"]), TransferTask])
def test_scores_are_those_of_the_adjusted_logits_and_training_stays_plain(kind: Any) -> None:
    data = FashionMNISTSample(imbalance_ratio=20)
    task = kind(net(), optimizer=SGD, posthoc_tau=1.5, tta="flip")
    images, labels = torch.randn(6, 1, 28, 28), torch.arange(6)
    plain = kind(net(), optimizer=SGD)
    assert torch.equal(task.compute_loss((images, labels))[0], plain.compute_loss((images, labels))[0])
    scores = trainer().test(task, datamodule=data, verbose=False)[0]
    counts = torch.tensor(data.count_classes(), dtype=torch.float64)
    shift = 1.5 * (counts / counts.sum()).log()
    task.eval()
    with torch.no_grad():
        pairs = [data.prepare(batch, training=False) for batch in data.test_dataloader()]
        labels = torch.cat([y for _, y in pairs])
        logits = torch.cat([task.net(x) for x, _ in pairs]) - shift
        averaged = torch.cat([average_views(task.net, x, "flip") for x, _ in pairs]) - shift
        predicted = task.predict_step(pairs[0][0], 0)
    assert scores["test/loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-5)
    assert scores["test/acc"] == pytest.approx(float((logits.argmax(1) == labels).double().mean()), abs=1e-3)
    assert scores["test/loss_tta"] == pytest.approx(float(F.cross_entropy(averaged, labels)), abs=1e-5)
    torch.testing.assert_close(predicted.double(), averaged[: len(predicted)].softmax(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"posthoc_tau": -1}, "posthoc_tau is -1: give a number from 0 up"),
        ({"posthoc_tau": float("inf")}, "give a number from 0 up"),
        ({"posthoc_tau": 1, "loss": "logit_adjusted"}, "trained with plain cross entropy"),
        ({"posthoc_tau": 1, "class_weights": "balanced"}, "trained with plain cross entropy"),
        ({"posthoc_tau": 1, "multilabel": True}, "trained with plain cross entropy"),
    ],
)
def test_what_is_corrected_already_is_refused(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        ClassificationTask(net(), **arguments)


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.sampling balanced has corrected"):
        trainer().test(ClassificationTask(net(), posthoc_tau=1.0), datamodule=FashionMNISTSample(sampling="balanced"))
    with pytest.raises(UserError, match="the number of training images of each class"):
        ClassificationTask(net(), posthoc_tau=1.0).predict_step(torch.zeros(1, 1, 28, 28), 0)


def softmax_of_adjusted(plain: Tensor, counts: list[int], tau: float) -> Tensor:
    share = torch.tensor(counts).double() / sum(counts)
    return (plain.double().log() - tau * share.log()).softmax(1)


def test_a_run_is_tested_and_predicts_with_any_tau(cli: Cli) -> None:
    ended = cli("fit", *SMALL_NET, *LONG_TAIL, "--trainer.limit_train_batches=20")
    assert ended.code == 0, ended.err
    run = find("runs/tail")
    counts = load_checkpoint(run.best)["class_counts"]
    assert counts == run.manifest()["data"]["class_counts"]
    assert cli("test", "--run", "runs/tail").code == 0
    own, kept = run.manifest()["test"], load_predictions(run.predictions)
    ended = cli("test", "--run", "runs/tail", "--posthoc_tau", "1")
    assert ended.code == 0, ended.err
    assert "1 log(share of the class)" in ended.out
    assert "recorded as scores of best.ckpt with posthoc_tau 1" in ended.out
    manifest = run.manifest()
    assert manifest["test"] == own
    assert np.array_equal(load_predictions(run.predictions).predicted, kept.predicted)
    [other] = manifest["other_scores"]
    assert other["posthoc_tau"] == 1
    image = FashionMNISTSample().open().test_images[:3]
    plain = torch.from_numpy(cnnkit.load(run.path).predict(image).probabilities)
    found = cnnkit.load(run.path, posthoc_tau=1).predict(image).probabilities
    assert np.allclose(found, softmax_of_adjusted(plain, counts, 1), atol=1e-5)
    from PIL import Image

    Image.fromarray(image[0, 0].numpy()).save("a.png")
    assert cli("predict", "--run", "runs/tail", "--images", "a.png", "--posthoc_tau", "1").code == 0
    with Path("predictions.csv").open() as file:
        [row] = csv.DictReader(file)
    assert row["posthoc_tau"] == "1"
    assert float(row["probability"]) == pytest.approx(found[0].max(), abs=1e-6)
    assert cli("calibrate", "--run", "runs/tail").code == 0
    ended = cli("predict", "--run", "runs/tail", "--images", "a.png", "--posthoc_tau", "1")
    assert "it does not fit probabilities with posthoc_tau" in ended.out
    with Path("predictions.csv").open() as file:
        assert float(next(csv.DictReader(file))["probability"]) == pytest.approx(found[0].max(), abs=1e-6)
    for words in (
        ["fit", "--posthoc_tau", "1"],
        ["predict", "--run", "runs/tail", "--images", "a.png", "--posthoc_tau=-1"],
    ):
        ended = cli(*words)
        assert ended.code == 2
        assert "posthoc_tau" in ended.err
        assert len(ended.err.splitlines()) <= 3


def test_a_run_may_have_its_own_tau(cli: Cli) -> None:
    words = ["--model.posthoc_tau=1", "--trainer.limit_train_batches=3"]
    assert cli("fit", *SMALL_NET, *LONG_TAIL, *words).code == 0
    assert cli("test", "--run", "runs/tail").code == 0
    run = find("runs/tail")
    assert run.manifest()["test_of"]["posthoc_tau"] == 1
    kept = load_predictions(run.predictions)
    assert run.manifest()["test"]["test/acc"] == pytest.approx(kept.accuracy)
    assert json.loads(cli("report", "--run", "runs/tail", "--json").out)["accuracy"] == pytest.approx(kept.accuracy)
    ended = cli("calibrate", "--run", "runs/tail")
    assert ended.code == 2
    assert "makes probabilities for classes of equal size" in ended.err
