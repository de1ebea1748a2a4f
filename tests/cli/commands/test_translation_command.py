"""`translation`: runs in, their accuracy against shift out."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.runs import RunFolder
from cnnkit.stats.intervals import summarize_shares


@pytest.fixture(scope="module")
def expected(trained_once: RunFolder) -> list[float]:
    """Accuracy on the first 200 test images, not moved and moved by 3 pixels, computed by hand."""
    task = ClassificationTask.load_from_checkpoint(trained_once.best, weights_only=True, map_location="cpu").eval()
    store = FashionMNISTSample().open()
    images, labels = store.test_images[:200], store.test_labels[:200]
    black = torch.zeros(200, 1, 34, 34, dtype=torch.uint8)
    black[..., 3:31, 3:31] = images
    views = [images, black[..., 6:, 3:31], black[..., :28, 3:31], black[..., 3:31, 6:], black[..., 3:31, :28]]
    with torch.inference_mode():
        scores = [(task.net((v.float() / 255 - 0.2860) / 0.3530).argmax(1) == labels).float().mean() for v in views]
    return [float(scores[0]), float(sum(scores[1:]) / 4)]


@pytest.fixture
def seeds(cli: Cli, trained_once: RunFolder) -> Path:
    """``runs/small``: a run of seed 0, one like it of seed 1 whose net is another, and one that has not finished."""
    for number in range(3):
        folder = Path(f"runs/small/{number}")
        shutil.copytree(trained_once.path, folder)
        config = (folder / "config.yaml").read_text()
        assert "seed_everything: 0\n" in config
        (folder / "config.yaml").write_text(config.replace("seed_everything: 0\n", f"seed_everything: {number}\n"))
        RunFolder(folder).update_manifest(seed=number)
    checkpoint = torch.load("runs/small/1/checkpoints/best.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    name = [name for name in state if name.endswith("weight")][-1]
    state[name] = state[name].flip(0)  # the classes change places
    torch.save(checkpoint, "runs/small/1/checkpoints/best.ckpt")
    RunFolder(Path("runs/small/2")).update_manifest(status="running")
    return Path("runs/small")


def test_a_run_has_the_accuracies_that_one_computes_by_hand(
    cli: Cli, trained_once: RunFolder, expected: list[float]
) -> None:
    words = ["--shifts", "3", "0", "--images", "200", "--json", "--csv", "points.csv"]
    ended = cli("classroom", "translation", "--run", str(trained_once), *words)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    (curve,) = found["curves"]
    assert (curve["name"], curve["runs"]) == (trained_once.path.name, [str(trained_once)])
    assert [point["shift"] for point in curve["points"]] == [0, 3]
    assert [point["accuracy"] for point in curve["points"]] == pytest.approx(expected, abs=0.0051)  # an image
    assert abs(expected[0] - expected[1]) > 0.011
    assert all(point["low"] < point["accuracy"] < point["high"] for point in curve["points"])
    assert {(point["n"], point["of"]) for point in curve["points"]} == {(200, "images")}
    with Path("points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["shift"], float(row["accuracy"])) for row in rows] == [
        (curve["name"], str(point["shift"]), point["accuracy"]) for point in curve["points"]
    ]
    assert Image.open(found["picture"]).format == "PNG"


def test_a_folder_of_seeds_is_one_curve_beside_others(cli: Cli, seeds: Path) -> None:
    words = ["--shifts", "0", "2", "--images", "100", "-o", "plot.png", "--csv", "points.csv"]
    ended = cli("classroom", "translation", "--run", "runs/small", "runs/small/0", "runs/small/1", *words)
    assert (ended.code, ended.err) == (0, "note: runs/small: 1 of 3 runs are not finished: left out\n")
    with Path("points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["shift"]) for row in rows] == [(name, s) for name in ("small", "0", "1") for s in "02"]
    numbers = [{key: float(row[key]) for key in ("accuracy", "low", "high", "n")} for row in rows]
    for mean, *single in zip(numbers[:2], numbers[2:4], numbers[4:], strict=True):
        scores = [each["accuracy"] for each in single]
        assert scores[0] != scores[1]
        summary = summarize_shares(scores)  # the third has not finished
        assert mean["n"] == summary.n == 2
        assert [mean[key] for key in ("accuracy", "low", "high")] == pytest.approx(
            [summary.mean, summary.low, summary.high]
        )
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["shift", "small", "0", "1"]
    assert lines[1] == ["pixels", "2", "runs", "100", "images", "100", "images"]
    assert lines[4] == ["2", *(f"{row['accuracy']:.2%}" for row in numbers[1::2])]
    assert lines[5] == [f"{100 * row['low']:.2f}-{100 * row['high']:.2f}" for row in numbers[1::2]]
    assert lines[-1] == ["plot", "plot.png"]


def test_runs_are_found_by_their_name_below_the_folder_of_runs(cli: Cli, seeds: Path) -> None:
    words = ("--images", "10", "--shifts", "0", "--json")
    named = cli("classroom", "translation", "--run", "small", *words)
    assert named.code == 0, named.err
    assert named.out == cli("classroom", "translation", "--run", "runs/small", *words).out


def test_only_repetitions_are_averaged(cli: Cli, seeds: Path) -> None:
    config = seeds / "1/config.yaml"
    config.write_text(config.read_text().replace("dropout: 0.2", "dropout: 0.3"))
    ended = cli("classroom", "translation", "--run", "runs", "--images", "10", "--shifts", "0", "--json")
    found = json.loads(ended.out)
    (curve,) = found["curves"]
    assert (curve["name"], len(curve["runs"])) == ("small", 1)
    assert [note.partition(": ")[2] for note in found["notes"]] == [
        "1 of 3 runs are not finished: left out",
        f"1 finished runs are unlike {Path(curve['runs'][0]).name}, left out: "
        f"{1 - int(Path(curve['runs'][0]).name)} in model.net.dropout",
    ]


def test_all_runs_must_have_the_same_test_images(cli: Cli, seeds: Path) -> None:
    for number in range(20):
        folder = Path("pets", "train" if number < 12 else "test", f"{number % 10}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((28, 28), 90 + number).save(folder / f"{number}.png")
    config = seeds / "1/config.yaml"
    text = config.read_text()
    head, rest = text.split("\ndata:\n")
    tail = rest[rest.index("\nname:") :]
    data = "  class_path: cnnkit.ImageFolder\n  init_args: {root: pets, image_size: 28, channels: 1, val_size: 2}"
    config.write_text(f"{head}\ndata:\n{data}{tail}")
    ended = cli("classroom", "translation", "--run", "runs/small/0", "runs/small/1", "--images", "10", "--shifts", "0")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith(
        "error: runs/small/1: its test images are not those of runs/small/0"
    ), ended.err


MISTAKES = [
    ("--run nowhere", "nowhere: no such run folder"),
    ("--run empty", "empty: not a run folder, nor a folder of runs"),
    ("--run runs", "runs/small: none of its 1 runs is finished"),
    ("--run RUN --shifts 0 28", "shift is 28: the images' smaller side is 28 pixels, give 0 to 27"),
    ("--run RUN --shifts -1", "--shifts: expected"),
    ("--run RUN --images 0", "--images: expected a whole number from 1 on"),
    ("--run RUN --output plot.txt", "output is plot.txt: give a file that ends in .png"),
    ("--run RUN --shift 2", "--shift: unknown word; did you mean --shifts?"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_told_in_a_line_and_writes_nothing(
    cli: Cli, trained_once: RunFolder, words: str, expected: str
) -> None:
    Path("empty").mkdir()
    Path("runs/small/0").mkdir(parents=True)
    Path("runs/small/0/config.yaml").touch()
    ended = cli("classroom", "translation", *words.replace("RUN", str(trained_once)).split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "runs"]
