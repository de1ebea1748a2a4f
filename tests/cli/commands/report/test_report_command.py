"""``report``: one page of a run, tested or not, with its data or without."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from parsed_page import cells, figures, parsed
from PIL import Image
from reported_runs import without_data, worst
from small_runs import Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.cli.commands.report.report_data import collect_report_data
from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import load_predictions

HOSTILE = "<script>alert('$x')</script>"


def test_the_page_of_a_tested_run_has_what_test_has_found(cli: Cli, tested: RunFolder) -> None:
    manifest, predictions = tested.manifest(), load_predictions(tested.predictions)
    ended = cli("report", "--run", "runs")
    assert ended.code == 0, ended.err
    assert "runs/tested/report.html" in ended.out
    page = parsed(tested.path / "report.html")
    accuracy = f"{manifest['test']['test/acc']:.2%}"
    assert figures(page)["test accuracy"] == accuracy
    assert re.search(rf"test accuracy +{accuracy}\n", ended.out)
    assert figures(page)["parameters"] == "3,722"
    assert "test_looks" in page.texts["th"]
    assert tested.manifest() == manifest  # looking at what was kept is not another look at the test set

    by_class = cells(tested.path / "report.html", "class")
    assert [row[0] for row in by_class] == list(FashionMNISTSample().class_names)
    assert sum(int(row[2]) for row in by_class) == round(manifest["test"]["test/acc"] * 2000)
    assert [int(row[1]) for row in by_class] == np.bincount(predictions.labels).tolist()

    store = FashionMNISTSample().open()
    shown = [tag for tag in page.attributes("img") if tag["alt"].startswith("Image ")]
    assert [int(tag["alt"].split()[1].rstrip(":")) for tag in shown] == worst(predictions)[:24]
    first = Image.open(io.BytesIO(base64.b64decode(shown[0]["src"].partition(",")[2])))
    assert torch.equal(torch.from_numpy(np.array(first)), store.test_images[worst(predictions)[0], 0])
    names, k = FashionMNISTSample().class_names, worst(predictions)[0]
    assert names[predictions.predicted[k]] in shown[0]["alt"]
    assert shown[0]["alt"].endswith(f"in truth {names[predictions.labels[k]]}")

    before = (tested.path / "report.html").read_bytes()
    assert cli("report", "--run", "runs", "-o", "again.html").code == 0
    assert Path("again.html").read_bytes() == before


def test_the_page_has_the_layers_curves_and_facts_of_the_run(cli: Cli, tested: RunFolder) -> None:
    assert cli("report", "--run", "runs").code == 0
    path = tested.path / "report.html"
    assert [(row[1], row[2], row[3]) for row in cells(path, "layer")][:2] == [
        ("Conv2d", "4x26x26", "40"),
        ("MaxPool2d", "4x13x13", "0"),
    ]
    last = cells(path, "epoch")[-1]
    assert last[0] == "2"
    assert f"{tested.manifest()['last']['val/acc']:.4f}" in last
    facts = {row[0]: row[1] for row in cells(path, "entry")}
    assert facts["data.fingerprint"] == tested.manifest()["data"]["fingerprint"]
    assert facts["versions.torch"] == tested.manifest()["versions"]["torch"]
    page = parsed(path)
    assert page.texts["code"] == [tested.config.read_text()]
    assert any(tag["alt"].startswith("Kernels of the first layer, all 4, 3x3") for tag in page.attributes("img"))


def test_the_figures_for_programs(cli: Cli, tested: RunFolder) -> None:
    ended = cli("report", "--run", "runs", "--json", "-o", "page.html")
    found = json.loads(ended.out)
    predictions = load_predictions(tested.predictions)
    assert found["test"] == tested.manifest()["test"]
    assert (found["report"], found["predictions_of"]) == ("page.html", "test")
    assert found["accuracy"] == pytest.approx(tested.manifest()["test"]["test/acc"])
    confidence = predictions.probabilities.max(1).astype(np.float64)
    bins = np.ceil(confidence * 15)
    gaps = [abs((confidence - predictions.correct)[bins == k].sum()) for k in range(16)]
    assert found["calibration_error"] == pytest.approx(sum(gaps) / len(confidence))


def test_an_untested_run_shows_its_validation_images_and_says_so(
    cli: Cli, untested: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(self: FashionMNISTSample) -> None:
        raise AssertionError("the test set is not looked at")

    monkeypatch.setattr(FashionMNISTSample, "test_dataloader", forbidden)
    before = untested.manifest()
    ended = cli("report", "--run", "runs")
    assert ended.code == 0, ended.err
    page = parsed(untested.path / "report.html")
    assert figures(page)["test accuracy"] == "not tested"
    assert any("cnnkit test --run runs/untested" in text for text in page.texts["p"])
    assert "Classes, on the validation images" in page.texts["h2"]
    by_class = cells(untested.path / "report.html", "class")
    assert sum(int(row[1]) for row in by_class) == 1000
    assert sum(int(row[2]) for row in by_class) == round(before["best"]["val/acc"] * 1000)
    assert (untested.manifest(), untested.predictions.exists()) == (before, False)

    data = FashionMNISTSample()
    data.setup()
    assert data.store is not None
    shown = next(tag for tag in page.attributes("img") if tag["alt"].startswith("Image "))
    picture = Image.open(io.BytesIO(base64.b64decode(shown["src"].partition(",")[2])))
    place = data.val_indices[int(shown["alt"].split()[1].rstrip(":"))]
    assert torch.equal(torch.from_numpy(np.array(picture)), data.store.train_images[place, 0])
    assert shown["alt"].endswith(f"in truth {data.class_names[int(data.store.train_labels[place])]}")


def test_names_of_runs_and_classes_are_text(cli: Cli, tested: RunFolder) -> None:
    checkpoint = torch.load(tested.best, weights_only=True)
    checkpoint["data"]["class_names"][:2] = [HOSTILE, "$\\frac{"]
    torch.save(checkpoint, tested.best)
    tested.update_manifest(command=HOSTILE)
    tested.path.rename("runs/<img src=x onerror=alert(1)>")
    ended = cli("report", "--run", "runs", "-o", "page.html")
    assert ended.code == 0, ended.err
    page = parsed(Path("page.html"))
    assert page.texts["h1"] == ["runs/<img src=x onerror=alert(1)>"]
    assert page.texts["th"].count(HOSTILE) == 1
    assert HOSTILE in page.texts["td"]
    assert "<script" not in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "the following arguments are required: --run"),
        ("--run nowhere", "nowhere: no such run folder"),
        ("--run runs -o page.png", "output is page.png: give a file that ends in .html, .htm"),
        ("--run runs -o /proc/page.html", "/proc/page.html: cannot be written (No such file or directory)"),
        ("--run runs --open maybe", "--open: invalid choice"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    cli: Cli, untested: RunFolder, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    without_data(monkeypatch)
    ended = cli("report", *words.split())
    assert ended.code == 2
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert not list(Path().rglob("*.html"))


def test_averaged_views_are_named_and_all_else_is_the_plain_nets(cli: Cli, fit: Callable[..., RunFolder]) -> None:
    run = fit("--model.tta=flip", "--data.val_size=50")
    found = collect_report_data(run)
    assert found.part == "validation"
    task = ClassificationTask.load_from_checkpoint(run.best).eval()
    (images, _), *_ = FashionMNISTSample(val_size=50).plain_batches("val")
    with torch.no_grad():
        np.testing.assert_allclose(found.predictions.probabilities, task(images).softmax(1).numpy(), atol=1e-5)
    assert cli("test", "--run", str(run), "--trainer.limit_test_batches=1.0").code == 0
    assert cli("report", "--run", str(run)).code == 0
    averaged = run.manifest()["test"]["test/acc_tta"]
    assert figures(parsed(run.path / "report.html"))["averaged over flip"] == f"{averaged:.2%}"
