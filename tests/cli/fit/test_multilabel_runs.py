"""A run with several labels an image, through all commands: each follows, or says in one line why it cannot."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_tables import write_csv
from PIL import Image
from sklearn.metrics import average_precision_score
from small_runs import Cli

import cnnkit
from cnnkit.cli import main
from cnnkit.inference.results import Predictions
from cnnkit.inference.task_loading import load_task
from cnnkit.inference.trained_net import rebuild_net
from cnnkit.runs import find
from cnnkit.runs.predictions import load_predictions
from cnnkit.weights.checkpoints import load_checkpoint

NAMES = ["red", "bright"]
WORDS = [
    *("--data=ImageTable", "--data.table=photos/rows.csv", "--data.label_separator=|", "--data.data_dir=data"),
    *("--data.image_size=16", "--data.batch_size=8", "--data.num_workers=0", "--trainer.enable_progress_bar=false"),
    *("--model.multilabel=true", "--model.net.channels=[4,4]", "--model.optimizer.lr=0.01"),
    "--data.augment=[{class_path: MixUp}]",
]


def fill(folder: Path, count: int = 60) -> None:
    rng, labels = np.random.default_rng(0), []
    folder.mkdir()
    for i in range(count):
        has = rng.random(2) < 0.5
        has = has if has.any() else np.array([True, False])
        pixels = rng.integers(0, 60, (12, 12, 3))
        pixels[..., 0] += 90 * has[0]
        pixels += 60 * has[1]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        labels.append("|".join(name for name, each in zip(NAMES, has, strict=True) if each))
    write_csv(folder / "rows.csv", {"path": [f"{i}.png" for i in range(count)], "labels": labels})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with photos and a tested run on them; do not write to it."""
    desk = tmp_path_factory.mktemp("desk")
    fill(desk / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.setenv("CNNKIT_PRECISION", "32-true")
        assert main(["fit", *WORDS, "--trainer.max_epochs=2", "--name", "r"]) == 0
        assert main(["test", "--run", "runs/r"]) == 0
    return desk


@pytest.fixture
def desk(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_best_epoch_is_chosen_by_map_and_thresholds_are_recorded(desk: Path, cli: Cli) -> None:
    manifest = find("runs/r").manifest()
    assert manifest["monitor"] == {"metric": "val/map", "mode": "max"}
    assert {f"val/threshold_class/{name}" for name in NAMES} <= manifest["best"].keys()
    assert {f"test/{score}_class/{name}" for name in NAMES for score in ("f1", "ap")} <= manifest["test"].keys()
    assert manifest["data"]["multilabel"]
    counts = manifest["data"]["classes"]
    assert sum(map(sum, (each.values() for each in counts.values()))) > 60  # an image counts for each of its classes


def test_what_was_predicted_is_kept_for_all_classes(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    kept, tested = load_predictions(run.predictions), run.manifest()["test"]
    assert kept.multilabel
    assert kept.labels.shape == kept.predicted.shape == kept.probabilities.shape
    expected = average_precision_score(kept.labels, kept.probabilities.astype(float), average="macro")
    assert tested["test/map"] == pytest.approx(expected, abs=1e-6)
    assert 0 <= kept.accuracy <= 1


def test_predictions_of_test_images_and_of_files_are_sets_of_classes(desk: Path, cli: Cli) -> None:
    assert cli("predict", "--run", "runs/r").code == 0
    with (find("runs/r").path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "classes", "probability_bright", "probability_red"]
    kept = load_predictions(find("runs/r").predictions)
    said = [[name in row["classes"].split("|") for name in ("bright", "red")] for row in rows]
    assert np.array_equal(np.array(said, dtype=int), kept.predicted)
    ended = cli("predict", "--run", "runs/r", "--images", "photos", "-o", "found.csv")
    assert ended.code == 0, ended.err
    with Path("found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert all(set(row["classes"].split("|")) <= {"bright", "red", ""} for row in rows)
    assert 0 <= float(rows[0]["probability_red"]) <= 1


def test_the_report_has_scores_by_class_and_no_confusion(desk: Path, cli: Cli) -> None:
    ended = cli("report", "--run", "runs/r", "--json")
    assert ended.code == 0, ended.err
    values = json.loads(ended.out)
    page = Path(values["report"]).read_text()
    assert "average precision" in page
    assert "test mean average precision" in page
    assert "Confusion matrix." not in page
    assert "no accuracy, confusion matrix" in ended.err
    find("runs/r").predictions.unlink()
    again = cli("report", "--run", "runs/r")  # of the validation images
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["classroom", "translation", "--run", "runs/r"], "has several labels an image"),
        (["classroom", "challenges", "--run", "runs/r"], "has several labels an image"),
        (["calibrate", "--run", "runs/r"], "has several labels an image; a temperature is for the softmax"),
    ],
)
def test_commands_about_one_class_say_so(desk: Path, cli: Cli, words: list[str], expected: str) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert expected in ended.err
    assert len(ended.err.splitlines()) <= 3


def test_compare_is_about_mean_average_precision(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    shutil.copytree(run.path, "worse/1")
    kept = load_predictions(run.predictions)
    replace(kept, probabilities=1 - kept.probabilities).save(Path("worse/1/test_predictions.safetensors"))
    ended = cli("compare", str(run.path), "worse/1", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    for side, sign in zip(found["sides"], (1, -1), strict=True):
        expected = average_precision_score(kept.labels, sign * kept.probabilities.astype(float), average="macro")
        assert side["map_mean"] == pytest.approx(expected, abs=1e-6)
        assert side["map_low"] <= expected <= side["map_high"]
    assert found["pairs"][0]["better"] == found["sides"][0]["name"]
    printed = cli("compare", str(run.path), "worse/1", "-o", "x.png")
    assert "A is better" in printed.out
    assert "no picture" in printed.err


def test_other_commands_show_several_labels(desk: Path, cli: Cli) -> None:
    shown = cli("show-data", *(word for word in WORDS if word.startswith("--data")))
    assert shown.code == 0, shown.err
    table = dict(line.split()[:2] for line in shown.out.splitlines() if line.startswith(("red", "bright")))
    assert table.keys() == {"red", "bright"}
    explained = cli("explain", "--run", "runs/r", "--test_images", "0", "1")
    assert explained.code == 0, explained.err
    assert cli("runs", "--sort", "test/map").code == 0
    resumed = cli("fit", "--resume", "runs/r", "--trainer.max_epochs=3")
    assert resumed.code == 0, resumed.err


def test_a_net_without_its_task_has_the_probabilities_and_thresholds_of_the_task(desk: Path) -> None:
    path = find(desk / "runs/r").best
    net = rebuild_net(load_checkpoint(path))
    task, _ = load_task(path)
    images = torch.randn(3, 3, 16, 16)
    assert net is not None
    assert net.multilabel
    assert torch.equal(net.thresholds, task.thresholds)
    with torch.no_grad():
        assert torch.allclose(net.predict_step(images), task.predict_step(images, 0))


def test_a_predictor_has_the_classes_and_probabilities_of_the_command(desk: Path, cli: Cli) -> None:
    assert cli("predict", "--run", "runs/r", "--images", "photos", "-o", "found.csv").code == 0
    with Path("found.csv").open() as file:
        rows = list(csv.DictReader(file))
    predictor = cnnkit.load("runs/r")
    found = predictor.predict("photos")
    assert found.thresholds is not None
    assert torch.equal(torch.from_numpy(found.thresholds), load_checkpoint(find("runs/r").best)["thresholds"])
    for row, each, labels in zip(rows, found, found.labels, strict=True):
        assert (row["path"], row["classes"]) == (each.image, "|".join(labels))
        assert labels == each.labels
        said = {name: f"{p:.6f}" for name, p in zip(each.names, each.probabilities.tolist(), strict=True)}
        assert said == {name: row[f"probability_{name}"] for name in NAMES}
    assert len({*found.labels}) > 1  # not one answer for all
    table = found[3:5].rows()
    assert [list(row) for row in table] == [["image", "classes", "probability_bright", "probability_red"]] * 2
    assert table[0]["classes"] == rows[3]["classes"]
    assert len(predictor.embed(np.zeros((16, 16, 3), np.uint8))) == 1
    explained = predictor.explain("photos/0.png", label="red")[0]
    assert explained.prediction.labels == predictor.predict("photos/0.png")[0].labels


def test_a_notebook_shows_the_classes_that_an_image_has() -> None:
    rows = np.array([[0.7, 0.6], [0.3, 0.1]], np.float32)
    found = Predictions(["a.png", "b.png"], rows, ["red", "<b>"], np.array([0.5, 0.6], np.float32))
    assert found.labels == [("red", "<b>"), ()]  # a probability that is its threshold reaches it
    assert repr(found).splitlines() == [
        "a.png  red|<b>  red  70.0%  <b>  60.0%",
        "b.png  -        red  30.0%  <b>  10.0%",
    ]
    assert repr(found[1]) == "<b.png: -; red 30.0%, <b> 10.0%>"
    page = found._repr_html_()
    assert "<th>classes</th><th>most probable</th><th></th><th>next</th><th></th>" in page
    assert "<td>red|&lt;b&gt;</td>" in page
    assert page.count("<td>") == 12


def test_checks_know_several_labels(desk: Path, cli: Cli) -> None:
    ended = cli("check", *WORDS, "--trainer.max_epochs=2", "--strict")
    assert (ended.code, ended.err.count("error")) == (0, 0), ended.out + ended.err
    ended = cli("check-data", *(word for word in WORDS if word.startswith("--data")))
    assert ended.code == 2
    assert "has several labels an image" in ended.err


def test_dashboards_leave_out_what_is_of_one_class_and_say_it_once(trained: Path, cli: Cli) -> None:
    fill(Path("photos"))
    ended = cli("fit", *WORDS, "--trainer.max_epochs=1")
    assert ended.code == 0, ended.err
    assert ended.err.count("several labels an image: TensorBoard shows no confusion matrix") == 1
    assert "the best checkpoint is chosen by val/map" in ended.err
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(find("runs").path))
    events.Reload()
    tags = events.Tags()
    assert "val/map" in tags["scalars"]
    assert not {"val/confusion", "val/reliability", "val/mistakes"} & set(tags["images"])
    assert "val/ece" not in tags["scalars"]
    assert {"pr/red", "pr/bright"} <= set(tags["tensors"])
