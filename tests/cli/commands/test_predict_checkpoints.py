"""`predict` with checkpoints: what they must know, what code they get, and tasks of one's own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from prediction_table import read_table
from small_runs import SHORT, Cli

from cnnkit.runs import RunFolder, find


def changed(run: RunFolder, change: Callable[[dict[str, Any]], Any]) -> str:
    """A copy of the run's checkpoint with a change."""
    checkpoint = torch.load(run.best, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, "changed.ckpt")
    return "changed.ckpt"


def test_a_checkpoint_that_does_not_know_its_data(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    changes = {
        "how its images were prepared": lambda c: c.pop("data"),
        "how its net is built": lambda c: c["hyper_parameters"].pop("net"),
        "10 classes, but its checkpoint names 9": lambda c: c["data"]["class_names"].pop(),
        "do not fit the net": lambda c: c["state_dict"].popitem(),
    }
    for expected, change in changes.items():
        ended = cli("predict", "--ckpt_path", changed(trained_once, change), "--images", "photos")
        assert (ended.code, expected in ended.err) == (2, True), ended.err
        assert len(ended.err.splitlines()) <= 3


@pytest.mark.parametrize(
    "change",
    [
        lambda arguments: arguments["net"].update(class_path="evil.Net", init_args={}),
        lambda arguments: arguments.update(net="evil.Net"),
        lambda arguments: arguments.update(_class_path="evil.Net"),
        lambda arguments: arguments.update(optimizer="evil.Net"),
        lambda arguments: arguments.update(optimizer={"class_path": "evil.Net"}),
    ],
    ids=["class_path", "short form", "task", "function", "optimizer"],
)
def test_a_checkpoint_cannot_have_code_imported(
    cli: Cli, photos: Path, trained_once: RunFolder, change: Callable[[dict[str, Any]], Any]
) -> None:
    Path("evil.py").write_text("open('imported', 'w').close()\nfrom cnnkit import CNN as Net\n")
    path = changed(trained_once, lambda checkpoint: change(checkpoint["hyper_parameters"]))
    for words in (["--ckpt_path", path], ["--run", str(trained_once), "--ckpt_path", path]):
        ended = cli("predict", "--images", "photos", *words)
        assert ended.code == 2
        assert ended.err.startswith(f"error: {path}: needs evil.Net, which is neither cnnkit's nor torch's"), ended.err
        assert len(ended.err.splitlines()) == 1
        assert not Path("imported").exists()


def test_a_folder_of_ones_own_images_gives_what_its_run_gives(cli: Cli) -> None:
    for number in range(40):
        folder = Path("pets/train" if number < 32 else "pets/test", "cat" if number % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(0, 120, (20 + number, 30, 3), generator=torch.Generator().manual_seed(number))
        Image.fromarray((noise + 60 * (number % 2)).to(torch.uint8).numpy()).save(folder / f"{number}.png")
    data = ["--data=ImageFolder", "--data.root=pets", "--data.image_size=[24,16]", "--data.resize=pad"]
    small = ["--data.num_workers=0", "--data.batch_size=8", "--model.net.channels=[4]", *SHORT]
    ended = cli("fit", *data, *small, "--name=pets")
    assert ended.code == 0, ended.err
    assert cli("predict", "--run=runs/pets").code == 0
    Path("pets/test").rename("elsewhere")
    shutil.rmtree("pets")
    assert cli("predict", "--run=runs/pets", "--images", "elsewhere").code == 0
    of_run, of_files = read_table(find("runs/pets").path / "predictions.csv"), read_table()
    assert len(of_files) == 8
    assert [row["class"] for row in of_files] == [row["class"] for row in of_run]
    assert [float(row["probability"]) for row in of_files] == pytest.approx(
        [float(row["probability"]) for row in of_run], abs=6e-5
    )


MY_FILE = """
from dataclasses import replace
from torch import nn
from cnnkit import ClassificationTask, FashionMNISTSample

class MyNet(nn.Sequential):
    def __init__(self, in_channels: int = 1, num_classes: int = 10, image_size: int = 28):
        super().__init__(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))

class MyTask(ClassificationTask):
    def __init__(self, *args, gamma: float = 2.0, **kwargs):
        super().__init__(*args, **kwargs)

class Three(FashionMNISTSample):
    num_classes = 3
    class_names = ("legs", "body", "feet")

    def open(self):
        store = super().open()
        return replace(store, train_labels=store.train_labels % 3, test_labels=store.test_labels % 3)
"""


def test_classes_of_ones_own_are_imported_if_a_configuration_names_them(cli: Cli) -> None:
    Path("own_classes").mkdir()
    Path("own_classes/__init__.py").write_text("from own_classes.parts import MyNet, MyTask, Three")
    Path("own_classes/parts.py").write_text(MY_FILE)
    own = ["--model=own_classes.MyTask", "--model.net=own_classes.MyNet", "--data=own_classes.Three"]
    ended = cli("fit", *own, *SHORT, "--name=own")
    assert ended.code == 0, ended.err
    run = find("runs")
    Image.new("RGB", (30, 30)).save("a.png")
    assert cli("predict", "--run=runs", "--images=a.png").code == 0
    assert list(read_table()[0]) == [
        *("path", "class", "probability", "class_1", "probability_1"),
        *("class_2", "probability_2", "class_3", "probability_3", "error"),
    ]
    assert {read_table()[0][f"class_{k}"] for k in (1, 2, 3)} == {"legs", "body", "feet"}
    assert sum(float(read_table()[0][f"probability_{k}"]) for k in (1, 2, 3)) == pytest.approx(1, abs=3e-6)

    ended = cli("predict", "--ckpt_path", str(run.best), "--images=a.png")
    assert ended.code == 2
    assert "needs own_classes.MyTask, which is neither" in ended.err
    assert cli("predict", "--ckpt_path", str(run.best), "--images=a.png", "--config", str(run.config)).code == 0
    assert cli("validate", "--run=runs").code == 0  # what predict forbids itself is not forbidden to others


@pytest.mark.parametrize(
    "words",
    [
        ["--model=TransferTask", "--model.head_sizes=[8]"],
        ["--model=AuxiliaryLossTask", "--model.after=[features.2]"],
    ],
    ids=["a head of another shape", "heads for training alone"],
)
def test_tasks_that_add_weights_to_the_net_are_rebuilt_as_what_they_are(cli: Cli, words: list[str]) -> None:
    ended = cli("fit", *words, "--model.net.channels=[4]", "--data.batch_size=32", *SHORT, "--name=added")
    assert ended.code == 0, ended.err
    Image.new("L", (28, 28)).save("a.png")
    ended = cli("predict", "--run=runs/added", "--images=a.png")
    assert ended.code == 0, ended.err
    assert sum(float(read_table()[0][f"probability_{k}"]) for k in range(1, 6)) <= 1


def test_the_runs_own_limit_of_pixels_holds(cli: Cli, trained_once: RunFolder) -> None:
    Image.new("L", (30, 30), 200).save("large.png")
    Image.new("L", (28, 28), 200).save("small.png")

    def allow_less(checkpoint: dict[str, Any]) -> None:
        assert checkpoint["data"]["max_pixels"] == 64_000_000
        checkpoint["data"]["max_pixels"] = 28 * 28

    ended = cli("predict", "--ckpt_path", changed(trained_once, allow_less), "--images", "large.png", "small.png")
    assert ended.code == 3
    assert ended.err.strip() == "large.png: 30x30 pixels are more than max_pixels, 784"
    assert [bool(row["error"]) for row in read_table()] == [True, False]
    older = changed(trained_once, lambda checkpoint: checkpoint["data"].pop("max_pixels"))
    assert cli("predict", "--ckpt_path", older, "--images", "large.png").code == 0
