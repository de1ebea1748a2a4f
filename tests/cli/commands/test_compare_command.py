"""``compare``: tables, JSON, a picture of the images."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_runs import fake_run, rightly
from PIL import Image
from small_runs import Cli

from cnnkit import FashionMNISTSample
from cnnkit.errors import UserError


@pytest.fixture
def two(cli: Cli) -> list[str]:
    """Two runs that differ about six images of the sample."""
    store = FashionMNISTSample().open()
    made = {"labels": store.test_labels.numpy(), "data": {"fingerprint": store.fingerprint}}
    images = len(made["labels"])
    wrong = {"a": range(100), "b": [*range(95), 500]}
    return [str(fake_run(f"runs/{k}/1", correct=rightly(images, w), **made)) for k, w in wrong.items()]


def test_two_runs(cli: Cli, two: list[str]) -> None:
    ended = cli("compare", *two)
    assert (ended.code, ended.err) == (0, "")
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "A runs/a/1 CNN 1 95.00 % 93.96 % to 95.87 %" in lines
    assert any(line.startswith("A - B -0.20 -0.45 to +0.") and "1 5 McNemar 0.219" in line for line in lines)
    assert lines[lines.index("images B right B wrong") + 1 :][:2] == ["A right 1,899 1", "A wrong 5 95"]
    assert "not significantly different" in ended.out
    assert "trained nets, not methods" in ended.out
    assert "Holm" not in ended.out
    assert "6 of 2,000 images are answered differently" in lines


def test_an_accuracy_of_averaged_views_is_named(cli: Cli) -> None:
    for name, tta in {"a": "flip", "b": None}.items():
        scores = {"test/acc": 0.9, "test/acc_tta": 0.91} if tta else {"test/acc": 0.9}
        of = {"tta": tta} if tta else {}
        fake_run(f"runs/{name}/0", correct=rightly(100, range(10)), test=scores, test_of=of)
    ended = cli("compare", "runs/a/0", "runs/b/0")
    assert ended.err == "note: runs/a/0: 91.00% averaged over flip (--tta); compared is one view an image\n"


def test_the_figures_for_programs(cli: Cli, two: list[str]) -> None:
    found = json.loads(cli("compare", *two, "--json").out, parse_constant=pytest.fail)
    assert (found["images"], found["differing_images"], found["picture"], found["notes"]) == (2000, 6, None, [])
    assert [(side["runs"], side["accuracies"]) for side in found["sides"]] == [([two[0]], [0.95]), ([two[1]], [0.952])]
    (pair,) = found["pairs"]
    assert (pair["test"], pair["only_a"], pair["only_b"], pair["better"]) == ("mcnemar", 1, 5, None)
    assert pair["p"] == pair["p_holm"] == pytest.approx(14 / 64)  # 2 (1 + 6) / 2^6
    assert found["agreement"] == [[None, 0.997], [0.997, None]]


def test_folders_of_runs_and_a_single_one(cli: Cli) -> None:
    for name, wrong in {"good": 10, "bad": 100}.items():
        for seed in range(3):
            fake_run(f"runs/{name}/{seed}", seed=seed, correct=rightly(1000, range(wrong + 3 * seed)))
    fake_run("runs/one/0", correct=rightly(1000, range(50)))
    ended = cli("compare", "runs/bad", "runs/good", "runs/one/0")
    assert ended.code == 0
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "A runs/bad CNN 3 89.70 ± 0.30 % 88.95 % to 90.45 %" in lines
    assert "A - B -9.00 -9.68 to -8.32 Welch < 0.001 < 0.001 B is better" in lines
    assert "A - C -5.30 none none none none a single run decides nothing" in lines
    assert "Holm" in ended.out
    assert "trained nets, not methods" not in ended.out
    assert "runs/bad" in cli("compare", "runs").out  # all that is there


def test_the_images_they_differ_about_are_drawn(cli: Cli, two: list[str]) -> None:
    ended = cli("compare", *two, "-o", "differ.png", "--images", "4")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "4 of the 6 images: differ.png"
    with Image.open("differ.png") as opened:
        picture = np.asarray(opened.convert("L"))
    drawn = FashionMNISTSample().open().test_images[95, 0].numpy().repeat(3, 0).repeat(3, 1)  # the first of them
    assert (picture[4:88, 4:88] == drawn).all() or any(
        (picture[4:88, left : left + 84] == drawn).all() for left in range(4, picture.shape[1] - 84)
    )
    assert json.loads(cli("compare", *two, "-o", "differ.png", "--json").out)["picture"] == "differ.png"


def test_without_the_data_there_is_the_table_and_a_note(
    cli: Cli, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: FashionMNISTSample) -> None:
        raise UserError("the disk with the images is not there;\ncome back tomorrow")

    monkeypatch.setattr(FashionMNISTSample, "open", gone)
    ended = cli("compare", *two, "-o", "differ.png")
    assert ended.code == 0
    assert "McNemar" in ended.out
    assert ended.err == "note: no picture: the disk with the images is not there; come back tomorrow\n"
    assert not Path("differ.png").exists()


def test_other_data_than_those_of_the_test_are_not_drawn(cli: Cli) -> None:
    for name in "ab":
        fake_run(f"runs/{name}/1", correct=rightly(50, [ord(name) % 2]))
    ended = cli("compare", "runs/a/1", "runs/b/1", "-o", "differ.png")
    assert ended.code == 0
    assert ended.err == "note: no picture: the data set found here is not the one that the runs were tested on\n"


def test_the_same_answers_everywhere(cli: Cli) -> None:
    for name in "ab":
        fake_run(f"runs/{name}/1", correct=rightly(50, [3]))
    ended = cli("compare", "runs/a/1", "runs/b/1", "-o", "differ.png")
    assert (ended.code, ended.err) == (0, "note: no picture: all give the same answers\n")
    assert "1.000  not significantly different" in ended.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "the following arguments are required: RUN"),
        ("runs/a/1", "runs/a/1: there is nothing to compare it with; name two or more runs"),
        ("runs/a/1 runs/c/1", "runs/c/1: is not tested yet; test it first: cnnkit test --run runs/c/1"),
        ("runs/a/1 runs/a/1", "runs/a/1: a run cannot be compared with itself; name another run"),
        ("runs/a/1 runs/b/1 -o differ.jpg", "output is differ.jpg: give a file that ends in .png"),
        ("runs/a/1 runs/b/1 -o /proc/differ.png", "/proc/differ.png: cannot be written (No such file or directory)"),
        ("runs/a/1 runs/b/1 --images 0", "--images: expected a whole number from 1 on"),
    ],
)
def test_a_mistake_is_told_in_a_line(cli: Cli, two: list[str], words: str, expected: str) -> None:
    fake_run("runs/c/1")
    ended = cli("compare", *words.split())
    assert ended.code == 2
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
