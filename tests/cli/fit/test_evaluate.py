import csv
import re
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.runs import RunFolder, find
from cnnkit.runs.predictions import load_predictions


@pytest.fixture
def run(cli: Cli, trained_once: RunFolder) -> RunFolder:
    """A copy of the trained run in the current folder."""
    shutil.copytree(trained_once.path.parents[1], "runs")
    return find("runs")


@pytest.fixture(scope="session")
def by_hand(trained_once: RunFolder) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels of all 2,000 test images, computed without Lightning."""
    task = ClassificationTask.load_from_checkpoint(trained_once.best, weights_only=True, map_location="cpu").eval()
    store = FashionMNISTSample().open()
    images = (store.test_images.float() / 255 - 0.2860) / 0.3530
    with torch.inference_mode():
        return task.net(images), store.test_labels


@pytest.mark.parametrize("size", [1000, 333])
def test_the_test_score_is_that_of_all_images(
    cli: Cli, run: RunFolder, by_hand: tuple[torch.Tensor, torch.Tensor], size: int
) -> None:
    ended = cli("test", "--run", str(run), f"--data.eval_batch_size={size}")
    assert ended.code == 0, ended.err
    logits, labels = by_hand
    scores = run.manifest()["test"]
    assert scores["test/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item(), abs=1e-6)
    assert scores["test/loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), abs=1e-5)
    assert "test/acc" in ended.out
    assert run.manifest()["test_looks"] == 1
    kept = load_predictions(run.predictions)
    assert kept.labels.tolist() == labels.tolist()
    assert kept.predicted.tolist() == logits.argmax(1).tolist()
    assert kept.accuracy == pytest.approx(scores["test/acc"], abs=1e-6)
    assert torch.from_numpy(kept.probabilities).float().allclose(logits.softmax(1), atol=1e-3)
    assert kept.index.tolist() == list(range(2000))


def test_a_parent_folder_means_its_newest_run_and_no_folder_is_made(cli: Cli, run: RunFolder) -> None:
    before = sorted(Path("runs").rglob("*"))
    assert cli("validate", "--run", "runs").code == 0
    assert sorted(Path("runs").rglob("*")) == before
    best = run.manifest()["best"]["val/acc"]
    assert run.manifest()["validate"]["val/acc"] == pytest.approx(best)


def test_predictions_are_those_of_the_best_weights(
    cli: Cli, run: RunFolder, by_hand: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert cli("predict", "--run", str(run)).code == 0
    with (run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = FashionMNISTSample().class_names
    assert [row["class"] for row in rows] == [names[k] for k in by_hand[0].argmax(1).tolist()]
    assert float(rows[0]["probability"]) == pytest.approx(by_hand[0][0].softmax(0).max().item(), abs=1e-4)


def test_predictions_say_over_which_views_they_are_averaged(cli: Cli, run: RunFolder) -> None:
    ended = cli("predict", "--run", str(run), "--tta", "five_crop")
    assert re.search(r"averaged over views +five_crop \(--tta\)", ended.out)
    with (run.path / "predictions.csv").open() as file:
        assert {row["tta"] for row in csv.DictReader(file)} == {"five_crop"}


def test_part_of_the_test_set_is_not_recorded_as_the_test_score(cli: Cli, run: RunFolder) -> None:
    assert cli("test", "--run", str(run), "--trainer.limit_test_batches=1").code == 0
    assert "test" not in run.manifest()
    assert not run.predictions.exists()


@pytest.mark.parametrize("damage", ["garbage", "cut", "flipped", "pickle"])
def test_a_damaged_checkpoint_is_refused_in_one_line(cli: Cli, run: RunFolder, damage: str) -> None:
    content = bytearray(run.best.read_bytes())
    if damage == "pickle":
        torch.save({"state_dict": {}, "evil": Path("x")}, run.best)
    else:
        content[len(content) // 2] ^= 1
        changed = {"garbage": b"<html>", "cut": bytes(content[:-1000]), "flipped": bytes(content)}[damage]
        run.best.write_bytes(changed)
    ended = cli("test", "--run", str(run))
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert str(run.best) in ended.err
    assert ("more than weights" if damage == "pickle" else "damaged") in ended.err


def test_without_a_run_weights_must_be_named(cli: Cli, trained_once: RunFolder) -> None:
    ended = cli("test")
    assert ended.code == 2
    assert "--run RUN" in ended.err
    words = ("--config", str(trained_once.config), "--ckpt_path", str(trained_once.best))
    assert cli("test", *words, "--trainer.limit_test_batches=1").code == 0


def test_scores_of_averaged_views_are_recorded_beside_the_plain_ones(
    cli: Cli, run: RunFolder, by_hand: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ended = cli("test", "--run", str(run), "--tta", "flip")
    assert ended.code == 0, ended.err
    assert "test/acc_tta" in ended.out
    assert re.search(r"averaged over views +flip \(--tta\)", ended.out)
    assert run.manifest()["test_of"]["tta"] == "flip"
    logits, labels = by_hand
    task = ClassificationTask.load_from_checkpoint(run.best, weights_only=True, map_location="cpu").eval()
    images = (FashionMNISTSample().open().test_images.float() / 255 - 0.2860) / 0.3530
    with torch.inference_mode():
        averaged = (logits + task.net(images.flip(3))) / 2
    scores = run.manifest()["test"]
    assert scores["test/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item(), abs=1e-6)
    assert scores["test/acc_tta"] == pytest.approx((averaged.argmax(1) == labels).float().mean().item(), abs=1e-6)
    assert load_predictions(run.predictions).predicted.tolist() == logits.argmax(1).tolist()


def test_an_unknown_kind_of_views_is_named(cli: Cli, run: RunFolder) -> None:
    ended = cli("test", "--run", str(run), "--tta", "flips")
    assert ended.code == 2
    assert ended.err.startswith("error: --tta: expected one of none, flip, ")


def test_an_error_about_views_names_the_option_that_was_typed(cli: Cli, run: RunFolder) -> None:
    for command in ("test", "validate", "predict"):
        assert cli(command, "--run", str(run), "--tta").err.startswith("error: --tta: needs a value after it\n")
        assert "'--tta " not in (said := cli(command, "--run", str(run), "--tta", "flip", "shift").err)
        assert "--tta '[flip, shift]'" in said
        assert cli(command, "--run", str(run), "--tta=3").err.startswith("error: --tta: ")
        assert cli(command, "--run", str(run), "--model.tta=3").err.startswith("error: model.tta: ")
    assert cli("predict", "--run", str(run), "--images", ".", "--tta=3").err.startswith("error: --tta: ")
