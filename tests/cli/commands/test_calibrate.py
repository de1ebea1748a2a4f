"""``calibrate``: what a temperature changes in every command, and where there is none."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import Cli
from torch.nn import functional as F

import cnnkit
from cnnkit.inference.task_loading import load_task
from cnnkit.runs import RunFolder, find
from cnnkit.runs.predictions import load_predictions
from cnnkit.stats.calibration import bin_predictions
from cnnkit.weights.checkpoints import load_checkpoint


@pytest.fixture
def run(cli: Cli, trained_once: RunFolder) -> RunFolder:
    """A copy of the run to write to."""
    shutil.copytree(trained_once.path, Path("runs/small", trained_once.path.name))
    return find("runs/small")


def calibrate(cli: Cli, *words: str) -> dict:
    ended = cli("calibrate", "--run", "runs/small", "--json", *words)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)  # type: ignore[no-any-return]


def validation_logits(run: RunFolder, tta: str = "none") -> tuple[torch.Tensor, torch.Tensor]:
    from cnnkit.cli.parsing.build import build_data
    from cnnkit.tasks.tta import average_views

    task, data = load_task(run.best)[0], build_data(run)
    with torch.no_grad():
        pairs = [(average_views(task, x, tta), y) for x, y in data.plain_batches("val")]  # type: ignore[attr-defined,arg-type]
    return torch.cat([x for x, _ in pairs]).double(), torch.cat([y for _, y in pairs])


def test_the_temperature_has_the_smallest_loss_on_the_validation_images(run: RunFolder, cli: Cli) -> None:
    before = load_checkpoint(run.best)
    found = calibrate(cli)
    logits, labels = validation_logits(run)
    assert found["validation_images"] == len(labels)
    losses = [float(F.cross_entropy(logits / (found["temperature"] * f), labels)) for f in (0.9, 1.0, 1.1)]
    assert losses[1] == min(losses)
    assert found["after"]["loss"] == pytest.approx(losses[1], abs=1e-5)
    assert found["before"]["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-5)
    after = load_checkpoint(run.best)
    assert after.pop("temperatures") == {"none": found["temperature"]}
    assert after.keys() == before.keys()
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    [entry] = run.manifest()["calibration"]
    assert (entry["checkpoint"], entry["temperature"]) == (run.best.name, found["temperature"])
    assert entry["step"] == before["global_step"]
    again = calibrate(cli)
    assert again["temperature"] == pytest.approx(found["temperature"], rel=1e-6)
    assert len(run.manifest()["calibration"]) == 1


@pytest.mark.slow
def test_every_prediction_is_calibrated_and_no_class_changes(run: RunFolder, cli: Cli) -> None:
    assert cli("test", "--run", "runs/small").code == 0
    plain, scores = load_predictions(run.predictions), run.manifest()["test"]
    Image.effect_noise((40, 30), 90).save("a.png")
    image_before = cnnkit.load(run.path).predict("a.png").probabilities
    temperature = calibrate(cli)["temperature"]
    report = cli("report", "--run", "runs/small")
    assert "calibrated after its test" in report.err
    image = cnnkit.load(run.path).predict("a.png").probabilities
    expected = torch.from_numpy(image_before).double().log().div(temperature).softmax(1)
    assert np.allclose(image, expected, atol=1e-5)
    assert cli("predict", "--run", "runs/small", "--images", "a.png").code == 0
    with Path("predictions.csv").open() as file:
        [row] = csv.DictReader(file)
    assert row["probability"] == f"{image.max():.6f}"
    assert row["temperature"] == f"{temperature:.4f}"
    ended = cli("test", "--run", "runs/small")
    kept, tested = load_predictions(run.predictions), run.manifest()["test"]
    assert "test/loss_calibrated" in ended.out
    assert {name: tested[name] for name in scores} == pytest.approx(scores)
    assert np.array_equal(kept.predicted, plain.predicted)
    assert kept.uncalibrated is not None
    assert np.allclose(kept.uncalibrated, plain.probabilities.max(1), atol=1e-3)
    logs = torch.from_numpy(plain.probabilities).double().clamp(min=1e-7).log()
    assert np.allclose(kept.probabilities, (logs / temperature).softmax(1), atol=3e-3)
    loss = F.nll_loss((logs / temperature).log_softmax(1), torch.from_numpy(plain.labels).long())
    assert tested["test/loss_calibrated"] == pytest.approx(float(loss), abs=3e-3)
    assert cli("predict", "--run", "runs/small").code == 0
    with (run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["probability"]) for r in rows] == pytest.approx(kept.probabilities.max(1).tolist(), abs=1e-3)
    values = json.loads(cli("report", "--run", "runs/small", "--json").out)
    after = bin_predictions(kept.probabilities.max(1), kept.correct).error
    assert values["calibration_error"] == pytest.approx(after)
    assert values["calibration_error_before"] == pytest.approx(bin_predictions(kept.uncalibrated, kept.correct).error)
    page = Path(values["report"]).read_text()
    assert "without the temperature" in page
    assert f"{len(kept.labels):,}" in page
    run.predictions.unlink()
    values = json.loads(cli("report", "--run", "runs/small", "--json").out)  # of the validation images
    [entry] = run.manifest()["calibration"]
    assert values["calibration_error"] == pytest.approx(entry["after"]["ece"], abs=1e-5)
    assert values["calibration_error_before"] == pytest.approx(entry["before"]["ece"], abs=1e-5)


def test_each_kind_of_views_has_its_own_temperature(
    run: RunFolder, cli: Cli, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, flip = calibrate(cli), calibrate(cli, "--tta", "flip")
    logits, labels = validation_logits(run, "flip")
    losses = [float(F.cross_entropy(logits / (flip["temperature"] * f), labels)) for f in (0.9, 1.0, 1.1)]
    assert losses[1] == min(losses)
    correction = load_task(run.best)[0].correction
    assert correction.find_temperature("none") == plain["temperature"]
    assert correction.find_temperature("flip") == flip["temperature"] != plain["temperature"]
    assert len(run.manifest()["calibration"]) == 2
    Image.effect_noise((40, 30), 90).save("a.png")
    ended = cli("predict", "--run", "runs/small", "--images", "a.png", "--tta", "five_crop")
    assert "none for these views (cnnkit calibrate --tta five_crop), but for none, flip" in ended.out
    with Path("predictions.csv").open() as file:
        assert "temperature" not in next(csv.reader(file))
    assert repr(cnnkit.load(run.path)).endswith(f"temperature {plain['temperature']:.3g}>")
    cnnkit.load(run.path, tta="five_crop")
    assert "not for these predictions" in capfd.readouterr().err
    assert cli("calibrate", "--run", "runs/small", "--remove").code == 0
    assert "temperatures" not in load_checkpoint(run.best)
    assert "calibration" not in run.manifest()


def test_a_resumed_fit_forgets_the_temperature_of_other_weights(run: RunFolder, cli: Cli) -> None:
    calibrate(cli, "--ckpt_path", "last")
    calibrate(cli)
    assert "temperatures" in load_checkpoint(run.last)
    ended = cli("fit", "--resume", "runs/small", "--trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    assert "temperatures" not in load_checkpoint(run.last)
    best = load_checkpoint(run.best)  # a new one, or the calibrated one of before
    assert ("temperatures" in best) == (best["global_step"] < load_checkpoint(run.last)["global_step"])
    assert ("temperatures" in best) == any(
        each["step"] == best["global_step"] for each in run.manifest().get("calibration", [])
    )


def test_averaged_weights_get_their_own_temperature(fit: Callable[..., RunFolder], cli: Cli) -> None:
    run = fit("--trainer.callbacks+=EMA", "--name=small")
    found = calibrate(cli)
    logits, labels = validation_logits(run)
    assert found["before"]["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-5)
    best = {k: v for k, v in run.manifest()["best"].items() if k == "val/loss"}
    assert found["before"]["loss"] == pytest.approx(best["val/loss"], abs=1e-4)


def test_mistakes_are_refused_in_one_line(fit: Callable[..., RunFolder], cli: Cli) -> None:
    fit("--data.val_size=0", "--name=none")
    for words, expected in (
        (["--run", "runs/none"], r"has no validation images \(data.val_size is 0\)"),
        (["--run", "runs/none", "--tta", "mirror"], "--tta: invalid choice"),
        (["--run", "runs/none", "--ckpt_path", "other"], "no such checkpoint"),
        ([], "required: --run"),
        (["--run", "runs/none", "--remove", "--tta", "flip"], "--tta has no effect with --remove"),
    ):
        ended = cli("calibrate", *words)
        assert ended.code == 2
        assert re.search(expected, ended.err), ended.err
        assert len(ended.err.splitlines()) <= 3
    assert "temperatures" not in load_checkpoint(find("runs/none").last)


def test_what_is_printed_is_true_of_the_checkpoint(run: RunFolder, cli: Cli) -> None:
    ended = cli("calibrate", "--run", str(run), "--ckpt_path", "last")
    assert f"cnnkit test --run {run} --ckpt_path last" in ended.out
    assert "there are none to remove" in cli("calibrate", "--run", str(run), "--remove").out
    assert "1 removed" in cli("calibrate", "--run", str(run), "--ckpt_path", "last", "--remove").out
