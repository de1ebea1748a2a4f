"""The model card: the hub reads its head, its figures are those of the run, and what was not measured is not there."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import fake_predictions, fake_run, rightly
from huggingface_hub import ModelCard
from statsmodels.stats.proportion import proportion_confint

from cnnkit.export.pack.card import Card, render_card
from cnnkit.export.pack.results import read_results
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import Predictions
from cnnkit.runs.records import read_record

NAMES = ["yes", "1.0: {odd} # name", "two\nlines | <b>*x*</b>", "'quoted\" - &a"]
TRAINED = {"monitor": {"metric": "val/acc", "mode": "max"}, "test_of": {"checkpoint": "best.ckpt", "step": 3}}
DATA = Preprocessing(NAMES, 3, [20, 30], [0.5] * 3, [0.2] * 3, "crop")


def make_card(path: Path, *, step: int = 3, tta: str = "none", calibrated: bool = False, **changes: Any) -> Card:
    results = read_results(RunFolder(path), NAMES, step, tta, calibrated=calibrated)
    return replace(Card(read_record(path), DATA, results, parameters=12345, macs=678), tta=tta, **changes)


def read_tables(text: str) -> dict[str, list[str]]:
    """The rows of all tables by their first cell."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    labels = np.repeat(np.arange(4), [10, 20, 30, 40])
    return fake_run(tmp_path / "runs/n/1", correct=rightly(100, range(5), range(90, 93)), labels=labels, **TRAINED)


def test_the_figures_are_those_of_the_kept_predictions(tested: Path) -> None:
    text = render_card(make_card(tested))
    low, high = proportion_confint(92, 100, method="wilson")
    rows = read_tables(text)
    assert rows["accuracy"] == ["0.9200", f"{low:.4f} to {high:.4f}"]
    low, high = proportion_confint(5, 10, method="wilson")
    assert rows["yes"] == ["10", "0.5000", f"{low:.4f} to {high:.4f}"]
    assert rows["parameters"] == ["12,345"]
    assert rows["images"][0].startswith("90 to train, 10 to validate")
    assert "epoch 1 of 2, chosen on 10 validation images: best validation accuracy 62.50%" in text
    assert "scored once" in text
    assert "not recorded" in text, "the sizes of the classes"


def test_the_hub_reads_the_head(tested: Path) -> None:
    for license, expected in (("MIT", "mit"), ("My: own #1", "other"), (None, None)):
        data = ModelCard(render_card(make_card(tested, license=license))).data
        assert data.license == expected
        assert data.to_dict().get("license_name") == (license if expected == "other" else None)
        assert data.pipeline_tag == "image-classification"
        [accuracy] = [each for each in data.eval_results if each.metric_type == "accuracy"]
        assert (accuracy.metric_value, accuracy.dataset_split, accuracy.dataset_name) == (
            0.92,
            "test",
            "Fashion-MNIST sample",
        )


def test_names_of_classes_break_no_table_and_write_no_html(tested: Path) -> None:
    text = render_card(make_card(tested))
    assert len(read_tables(text)[r"two\\nlines \| \<b\>\*x\*\</b\>"]) == 3
    assert "<b>" not in text


def test_a_run_without_test_has_no_figure_of_test_images(tmp_path: Path) -> None:
    text = render_card(make_card(fake_run(tmp_path / "run", **TRAINED)))
    assert "**Not tested.**" in text
    assert "model-index" not in text
    assert "accuracy" not in text.partition("## Training")[0].replace("validation accuracy", "")


def test_scores_of_another_checkpoint_are_not_given(tested: Path) -> None:
    text = render_card(make_card(tested, step=4))
    assert "**Not tested.** The test scores of the run are of another checkpoint" in text
    assert "0.92" not in text


def test_scores_of_the_image_alone_are_named_so_where_the_model_averages_views(tested: Path, tmp_path: Path) -> None:
    assert "with its views (flip) the model was not tested" in render_card(make_card(tested, tta="flip"))
    of = {"test_of": {"step": 3, "tta": "flip"}, "test": {"test/acc": 0.9, "test/acc_tta": 0.95}}
    both = fake_run(tmp_path / "both", correct=rightly(100, range(10)), **{**TRAINED, **of})
    text = render_card(make_card(both, tta="flip"))
    assert "was not tested" not in text
    assert ModelCard(text).data.eval_results[0].metric_value == 0.95, "the packed model's own score comes first"


def test_the_mean_over_seeds_needs_other_seeds(tested: Path) -> None:
    assert "differ by their seed" not in render_card(make_card(tested))
    for seed, wrong in ((1, 9), (2, 7)):
        correct = rightly(100, range(wrong))
        fake_run(
            tested.parent / f"{seed + 1}", seed=seed, correct=correct, started=f"2026-01-0{seed + 1}T00", **TRAINED
        )
    fake_run(tested.parent / "9", seed=3, dropout=0.5, correct=rightly(100), **TRAINED)  # another configuration
    values = np.array([0.92, 0.91, 0.93])
    half = 4.302653 * values.std(ddof=1) / 3**0.5  # Student's t of 2 degrees of freedom
    expected = f"is 0.9200 on average (95 % interval of the mean {0.92 - half:.4f} to {0.92 + half:.4f}, Student's t)"
    text = render_card(make_card(tested))
    assert "Of 3 runs that differ by their seed alone" in text
    assert expected in text


def test_calibration_is_told_before_and_after(tested: Path) -> None:
    kept = fake_predictions(rightly(100, range(8)))
    replace(kept, uncalibrated=np.full(100, 0.5, np.float32)).save(RunFolder(tested).predictions)
    rows = read_tables(render_card(make_card(tested, calibrated=True)))
    assert rows["without the temperature"][0].startswith("0.420 (")
    assert rows["with it"][0].startswith("0.220 (")
    kept.save(RunFolder(tested).predictions)  # tested before it was calibrated
    text = render_card(make_card(tested, calibrated=True))
    assert "its effect on test images was not measured" in text
    assert read_tables(text)["without a temperature"][0].startswith("0.220 (")


def test_several_labels_have_average_precision_and_no_accuracy(tmp_path: Path) -> None:
    labels = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]] * 5, np.int16)
    probabilities = np.where(labels > 0, 0.8, 0.3).astype(np.float32)
    probabilities[:6] = probabilities[:6, ::-1].copy()
    path = fake_run(tmp_path / "run", test={"test/map": 0.9, "test/f1": 0.8}, **TRAINED)
    Predictions(probabilities, (probabilities > 0.4).astype(np.int16), labels, np.arange(20)).save(
        RunFolder(path).predictions
    )
    text = render_card(make_card(path, multilabel=True))
    rows = read_tables(text)
    assert rows["mean average precision"][0] == "0.9000"
    low, high = map(float, rows["mean average precision"][1].split(" to "))
    assert 0.5 < low < high <= 1
    assert rows["yes"][0] == "10"
    assert "ECE" not in text
    assert "| accuracy" not in text


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([9, 9, 9, 9], "Each class has 9 images"), ([40, 9, 8, 20], r"two\\nlines | \<b\>\*x\*\</b\>, has 8 images")],
)
def test_the_smallest_class_is_named(tested: Path, counts: list[int], expected: str) -> None:
    assert expected in render_card(make_card(tested, class_counts=counts))


def test_data_that_cnnkit_does_not_know_have_no_license(tested: Path) -> None:
    config = (tested / "config.yaml").read_text()
    assert "MIT, copyright 2017 Zalando SE" in render_card(make_card(tested))
    for name, expected in (("cnnkit.CIFAR10", "none stated; cite"), ("my_data.CIFAR10", "unknown to cnnkit")):
        (tested / "config.yaml").write_text(config.replace("cnnkit.FashionMNISTSample", name))
        assert f"trained on: {expected}" in render_card(make_card(tested))


def test_scores_of_a_task_of_ones_own_are_given_by_their_names(tested: Path) -> None:
    manifest = json.loads((tested / "manifest.json").read_text())
    (tested / "manifest.json").write_text(json.dumps({**manifest, "test": {"test/iou": 0.4321}}))
    assert read_tables(render_card(make_card(tested)))["test/iou"] == ["0.4321", ""]


def test_a_test_of_another_checkpoint_or_of_a_part_is_no_test_but_a_look(tmp_path: Path) -> None:
    text = render_card(make_card(fake_run(tmp_path / "run", test_looks=2, **TRAINED)))
    assert "This checkpoint has no recorded scores of all test images" in text
    assert "The test images were scored 2 times" in text


def test_trained_starting_weights_and_an_unfinished_run_are_named(tested: Path) -> None:
    assert "started from" not in render_card(make_card(tested))
    config = (tested / "config.yaml").read_text()
    (tested / "config.yaml").write_text(config + "weights: runs/other\n")
    manifest = json.loads((tested / "manifest.json").read_text())
    (tested / "manifest.json").write_text(json.dumps({**manifest, "status": "stopped"}))
    text = render_card(make_card(tested))
    assert "Weights that the training started from: they have a license of their own" in text
    assert "2; the run is stopped, not finished" in text
    assert "runs/other" not in text
