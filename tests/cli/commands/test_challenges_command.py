"""`challenges`: runs in, their accuracy under five changes of the images out."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.cli.commands.classroom.challenges import NAMES
from cnnkit.runs import RunFolder


def test_accuracies_are_those_that_one_computes_by_hand(cli: Cli, trained_once: RunFolder) -> None:
    task = ClassificationTask.load_from_checkpoint(trained_once.best, map_location="cpu").eval()
    store = FashionMNISTSample().open()
    images, labels = store.test_images[:150], store.test_labels[:150]
    with torch.inference_mode():
        views = [images.float(), (images.float() / 4).round(), (images.float() * 4).clamp(max=255)]
        right = [(task.net((v / 255 - 0.2860) / 0.3530).argmax(1) == labels).float().mean().item() for v in views]
    words = ["--images", "150", "--json", "--csv", "points.csv"]
    ended = cli("classroom", "challenges", "--run", str(trained_once), *words)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    points = {(p["challenge"], p["strength"]): p for p in found["points"]}
    assert len(points) == 5 * 6
    assert [points[name, 0]["accuracy"] for name in NAMES] == pytest.approx([right[0]] * 5, abs=0.0051)  # an image
    assert points["lighting", 4]["accuracy"] == pytest.approx((right[1] + right[2]) / 2, abs=0.0051)
    with Path("points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in rows] == [p["accuracy"] for p in found["points"]]
    assert Image.open(found["picture"]).format == "PNG"


def test_a_table_a_challenge(cli: Cli, trained_once: RunFolder) -> None:
    words = ["--only", "rotation", "clutter", "--images", "20"]
    ended = cli("classroom", "challenges", "--run", str(trained_once), *words, "-o", "c.png")
    assert (ended.code, ended.err) == (0, "")
    assert "rotation: turned by degrees, both ways; 0 is the image as it is" in ended.out
    assert "clutter: pieces of other images" in ended.out
    assert "lighting" not in ended.out
    assert Path("c.png").is_file()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--run nowhere", "nowhere: no such run folder"),
        ("--run RUN --only fog", "--only: invalid choice: 'fog'"),
        ("--run RUN -o c.txt", "output is c.txt: give a file that ends in .png"),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, trained_once: RunFolder, words: str, expected: str) -> None:
    ended = cli("classroom", "challenges", *words.replace("RUN", str(trained_once)).split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
