"""``report`` without the data, the predictions or the net: it shows what is there."""

import shutil

import pytest
from parsed_page import cells, figures, parsed
from reported_runs import without_data, worst
from small_runs import Cli

from cnnkit.runs import RunFolder
from cnnkit.runs.predictions import load_predictions


def test_without_the_data_the_page_has_all_but_the_images(
    cli: Cli, tested: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_data(monkeypatch)
    ended = cli("report", "--run", "runs")
    assert ended.code == 0, ended.err
    note = "the data set cannot be opened: the disk with the images is not there; come back tomorrow."
    assert note in ended.err
    page = parsed(tested.path / "report.html")
    assert any(note in text for text in page.texts["p"])
    assert figures(page)["test accuracy"] == f"{tested.manifest()['test']['test/acc']:.2%}"
    assert not any(tag["alt"].startswith("Image ") for tag in page.attributes("img"))
    listed = cells(tested.path / "report.html", "image")
    assert [int(row[0]) for row in listed] == worst(load_predictions(tested.predictions))[:24]


def test_with_neither_data_nor_test_nor_checkpoint_there_are_curves_and_configuration(
    cli: Cli, untested: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_data(monkeypatch)
    shutil.rmtree(untested.checkpoints)
    ended = cli("report", "--run", "runs")
    assert ended.code == 0, ended.err
    page = parsed(untested.path / "report.html")
    assert page.texts["h2"] == ["Training", "Configuration", "What was run, and where"]
    assert len(ended.err.splitlines()) == 2  # no net, no images


def test_a_run_whose_test_kept_no_predictions_has_its_score_and_says_so(cli: Cli, tested: RunFolder) -> None:
    tested.predictions.unlink()
    assert cli("report", "--run", "runs").code == 0
    page = parsed(tested.path / "report.html")
    assert figures(page)["test accuracy"] == f"{tested.manifest()['test']['test/acc']:.2%}"
    assert any("was not kept; test again" in text and "validation images" in text for text in page.texts["p"])
    assert "Classes, on the validation images" in page.texts["h2"]


def test_images_of_another_data_set_are_not_shown(cli: Cli, tested: RunFolder) -> None:
    tested.update_manifest(data={"fingerprint": "0123456789abcdef"})
    ended = cli("report", "--run", "runs")
    assert ended.code == 0
    assert "not the one that the run was trained with" in ended.err
    assert not any(tag["alt"].startswith("Image ") for tag in parsed(tested.path / "report.html").attributes("img"))


def test_nothing_is_downloaded(cli: Cli, tested: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(*args: object, **more: object) -> None:
        raise AssertionError("a report fetches nothing")

    monkeypatch.setattr("cnnkit.data.originals.loading.fetch", fetched)
    monkeypatch.setenv("CNNKIT_DATA_DIR", "empty")
    config = tested.config.read_text()
    assert "FashionMNISTSample" in config
    tested.config.write_text(config.replace("FashionMNISTSample", "FashionMNIST"))
    ended = cli("report", "--run", "runs")
    assert ended.code == 0, ended.err
    assert "the data set cannot be opened" in ended.err
