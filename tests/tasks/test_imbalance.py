"""Classes of different sizes in whole runs: what is counted, recorded, said and refused."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from short_trainer import trainer
from sklearn.metrics import f1_score, recall_score
from torch.utils.data import DataLoader, TensorDataset

from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, FashionMNISTSample, TransferTask
from cnnkit.cli import main
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import load_predictions
from cnnkit.transforms import MixUp

SGD = partial(torch.optim.SGD, lr=0.01)
SMALL = ["--model.net.channels=[4,8]", "--model.net.hidden_sizes=[8]", "--trainer.max_epochs=1", "--data.batch_size=64"]


def net() -> CNN:
    torch.manual_seed(0)
    return CNN(channels=(4, 8), hidden_sizes=(16,))


def balanced(counts: list[int]) -> list[float]:
    return [sum(counts) / len(counts) / count for count in counts]


@pytest.mark.parametrize("kind", [ClassificationTask, partial(AuxiliaryLossTask, after=["features.0"]), TransferTask])
def test_every_task_counts_the_training_part(kind: Any) -> None:
    data = FashionMNISTSample(imbalance_ratio=20, augment=[MixUp()])
    task = kind(net(), optimizer=SGD, class_weights="balanced", label_smoothing=0.1)
    trainer(max_epochs=1).fit(task, datamodule=data)
    assert task.criterion.weights == pytest.approx(balanced(data.count_classes()))
    assert data.count_classes()[-1] == 45  # without the validation images


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_weights_are_not_rounded_by_the_precision(precision: str) -> None:
    task = ClassificationTask(net(), SGD, loss="logit_adjusted", class_weights="balanced")
    names = set(task.state_dict())
    trainer(max_epochs=1, precision=precision).fit(task, datamodule=FashionMNISTSample(imbalance_ratio=7))
    logits, labels = torch.zeros(2, 10), torch.tensor([0, 9])
    counts = torch.tensor(task.criterion.class_counts)
    weights = counts.sum() / 10 / counts
    expected = torch.nn.functional.cross_entropy((counts / counts.sum()).log().expand(2, 10), labels, weights)
    torch.testing.assert_close(task.criterion(logits, labels), expected)
    assert set(task.state_dict()) == names == set(ClassificationTask(net(), SGD).state_dict())


def test_without_a_data_module_there_is_nothing_to_count() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4, 1, 28, 28), torch.arange(4)))
    with pytest.raises(UserError, match="count the training images of a data module"):
        trainer().fit(ClassificationTask(net(), SGD, class_weights="balanced"), loader)


def test_the_run_records_the_numbers_and_scores_by_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    imbalanced = [*SMALL, "--data.imbalance_ratio=20", "--name=run"]
    assert main(["fit", "--config=quickstart", *imbalanced, "--model.class_weights=balanced"]) == 0
    assert "classes of very different sizes" not in capsys.readouterr().err
    run = RunFolder(next((tmp_path / "runs" / "run").iterdir()))
    counts = run.manifest()["data"]["class_counts"]
    assert (counts[0], counts[-1]) == (900, 45)
    assert run.manifest()["loss"]["class_counts"] == counts
    assert run.manifest()["loss"]["class_weights"] == pytest.approx(balanced(counts), abs=1e-6)
    assert main(["test", "--run", str(run)]) == 0
    assert main(["validate", "--run", str(run), "--data.folds=3"]) == 2
    assert "would validate it" in capsys.readouterr().err
    kept, scores = load_predictions(run.predictions), run.manifest()["test"]
    assert scores["test/f1_macro"] == pytest.approx(f1_score(kept.labels, kept.predicted, average="macro"), abs=1e-6)
    assert scores["test/acc_balanced"] == pytest.approx(kept.accuracy, abs=1e-6)  # all classes have 200 test images
    logits = torch.from_numpy(kept.probabilities).float().log()  # the reported loss has no weights
    expected = torch.nn.functional.nll_loss(logits.clamp(min=-30), torch.from_numpy(kept.labels).long())
    assert scores["test/loss"] == pytest.approx(expected.item(), rel=5e-3)
    rows = list(csv.DictReader(run.test_classes.open()))
    assert [row["class"] for row in rows][:2] == ["T-shirt/top", "Trouser"]
    recall = recall_score(kept.labels, kept.predicted, average=None)
    assert [float(row["recall"]) for row in rows] == pytest.approx(recall, abs=1e-4)
    assert sum(float(row["f1"]) for row in rows) / 10 == pytest.approx(scores["test/f1_macro"], abs=1e-4)
    columns = next(csv.reader(run.metrics.open()))
    assert {"val/f1_macro", "val/acc_balanced"} <= set(columns)
    assert not {"train/f1_macro", "val/recall"} & set(columns)


@pytest.mark.slow
def test_a_line_names_the_smallest_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--config=quickstart", *SMALL, "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    said = []
    for more in (["9"], ["11"], ["11", "--data.sampling=balanced"]):
        assert main([*words, "--monitor=val/f1_macro", f"--data.imbalance_ratio={more[0]}", *more[1:]]) == 0
        said.append([line for line in capsys.readouterr().err.splitlines() if "very different sizes" in line])
    assert [len(lines) for lines in said] == [0, 1, 0]
    assert "81 training images of Ankle boot, 900 of T-shirt/top (11 times); model.class_weights balanced" in said[1][0]


@pytest.mark.parametrize(
    "words",
    [
        ["--model.class_weights=[1,2]"],
        ["--model.class_weights=some"],
        ["--model.class_weights=[1,1,1,1,1,1,1,1,1,-1]"],
        ["--model.loss=hinge"],
        ["--model.loss=focal", "--model.focal_gamma=-1"],
        ["--model.focal_gamma=1"],
        ["--data.folds=3", "--data.fold=3"],
        ["--data.folds=1"],
        ["--data.folds=1200"],
        ["--data.sampling=even"],
        ["--data.imbalance_ratio=0"],
        ["--data.imbalance_ratio=5000"],
    ],
    ids=" ".join,
)
def test_mistakes_end_with_a_line_before_there_is_a_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config=quickstart", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "Seed set" not in line]
    assert 1 <= len(lines) <= 3, lines
    assert not (tmp_path / "runs").exists()
