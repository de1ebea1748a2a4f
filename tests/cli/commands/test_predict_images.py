"""`predict --images`: files in, a table of classes out, with no data set at hand."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from small_runs import SHORT, Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.runs import RunFolder, find

NAMES = FashionMNISTSample().class_names
FIRST = 12  # test images in use


@pytest.fixture(scope="module")
def test_images() -> torch.Tensor:
    return FashionMNISTSample().open().test_images[:FIRST].clone()


@pytest.fixture
def photos(cli: Cli, test_images: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of test images as files in the current folder, and no data set any more."""
    Path("photos/more").mkdir(parents=True)
    for k, image in enumerate(test_images):
        Image.fromarray(image[0].numpy()).save(f"photos/{'more/' if k > 6 else ''}{k:02d}.png")

    def gone(self: FashionMNISTSample) -> None:
        raise AssertionError("the data set is not there")

    monkeypatch.setattr(FashionMNISTSample, "open", gone)
    return Path("photos")


@pytest.fixture(scope="module")
def probabilities(trained_once: RunFolder, test_images: torch.Tensor) -> torch.Tensor:
    """Of the test images, computed by hand."""
    return by_hand(trained_once, test_images)


@torch.inference_mode()
def by_hand(run: RunFolder, images: torch.Tensor) -> torch.Tensor:
    task = ClassificationTask.load_from_checkpoint(run.best, weights_only=True, map_location="cpu").eval()
    return task.net((images.float() / 255 - 0.2860) / 0.3530).softmax(1)


def table(path: str | Path = "predictions.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def changed(run: RunFolder, change: Callable[[dict[str, Any]], Any]) -> str:
    """A copy of the run's checkpoint with a change."""
    checkpoint = torch.load(run.best, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, "changed.ckpt")
    return "changed.ckpt"


@pytest.mark.parametrize("size", [64, 5])
def test_a_file_has_the_probabilities_of_the_same_image_in_the_data_set(
    cli: Cli, photos: Path, trained_once: RunFolder, probabilities: torch.Tensor, size: int
) -> None:
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size", str(size))
    assert ended.code == 0, ended.err
    rows = table()
    assert [row["path"] for row in rows] == [str(path) for path in sorted(photos.rglob("*.png"))]
    for row, expected in zip(rows, probabilities, strict=True):
        values, labels = expected.topk(5)
        assert [row[f"class_{k}"] for k in range(1, 6)] == [NAMES[label] for label in labels.tolist()]
        assert [float(row[f"probability_{k}"]) for k in range(1, 6)] == pytest.approx(values.tolist(), abs=2e-6)
        assert (row["class"], row["probability"], row["error"]) == (row["class_1"], row["probability_1"], "")
    assert "predictions.csv" in ended.out
    assert f"photos/00.png       {rows[0]['class']}" in ended.out
    assert not (trained_once.path / "predictions.csv").exists()


def test_any_size_and_color_is_brought_to_what_the_net_takes(cli: Cli, trained_once: RunFolder) -> None:
    Image.new("RGB", (90, 40), (200, 200, 200)).save("wide.jpg", quality=100)
    Image.new("L", (3, 9), 200).save("tiny.png")
    Image.new("RGBA", (28, 28), (200, 200, 200, 255)).save("exact.webp", lossless=True)
    assert cli("predict", "--run", str(trained_once), "--images", "wide.jpg", "tiny.png", "exact.webp").code == 0
    expected = by_hand(trained_once, torch.full((1, 1, 28, 28), 200)).max().item()
    assert [float(row["probability"]) for row in table()] == pytest.approx([expected] * 3, abs=2e-6)


def test_files_and_folders_mix_and_each_image_counts_once(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    words = ["--images", "photos/03.png", "photos/more", "--images=photos/03.png", "--output=mine.csv"]
    ended = cli("predict", *words, "--ckpt_path", str(trained_once.last))
    assert ended.code == 0, ended.err
    assert [Path(row["path"]).stem for row in table("mine.csv")] == ["03", "07", "08", "09", "10", "11"]
    assert not Path("predictions.csv").exists()


def test_what_cannot_be_read_is_named_and_the_rest_is_predicted(
    cli: Cli, photos: Path, trained_once: RunFolder
) -> None:
    Path("photos/05.png").write_bytes(Path("photos/05.png").read_bytes()[:100])
    Path("photos/more/text.jpg").write_text("hello")
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size=4")
    assert ended.code == 3
    assert [line.split(": ")[0] for line in ended.err.splitlines()] == ["photos/05.png", "photos/more/text.jpg"]
    rows = {row["path"]: row for row in table()}
    assert len(rows) == FIRST + 1
    failed = [path for path, row in rows.items() if row["error"]]
    assert failed == ["photos/05.png", "photos/more/text.jpg"]
    assert all(rows[path]["class"] == rows[path]["probability_1"] == "" for path in failed)
    assert all(row["class"] in NAMES for path, row in rows.items() if path not in failed)


def test_nothing_readable_at_all(cli: Cli, trained_once: RunFolder) -> None:
    Path("a.png").touch()
    assert cli("predict", "--run", str(trained_once), "--images", "a.png").code == 3
    assert [row["error"] for row in table()] == ["an empty file"]


def test_of_many_images_the_first_are_printed(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    for k in range(13):
        shutil.copy("photos/00.png", f"photos/copy{k}.png")
    ended = cli("predict", "--run", str(trained_once), "--images", "photos")
    assert sum(line.startswith("photos/") for line in ended.out.splitlines()) == 20
    assert "\n… and 5 more\n" in ended.out
    assert ended.err == ""  # no progress where there is no terminal


def test_a_file_name_cannot_write_to_the_terminal(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    hostile = "\x1b[2J\udcff.png"
    shutil.copy("photos/00.png", hostile)
    Path(f"{hostile}.jpg").touch()
    ended = cli("predict", "--run", str(trained_once), "--images", ".")
    assert ended.code == 3
    assert "\x1b" not in ended.out + ended.err
    assert "?[2J?.png" in ended.out
    assert hostile.encode("utf-8", "surrogateescape") in Path("predictions.csv").read_bytes()


MISTAKES = [
    ("--images", "--images: expected at least one argument"),
    ("--images=", "--images: needs a value after it"),
    ("--images nothing.png", "nothing.png: no such file or folder"),
    ("--images photos empty nothing", "nothing: no such file or folder"),
    ("--images empty", "empty: no image in it"),
    ("--images photos --batchsize 3", "--batchsize: unknown word; did you mean --batch_size?"),
    ("--images photos --data.batch_size=3", "--data.batch_size: unknown word; did you mean --batch_size?"),
    ("--images photos --trainer.devices 2", "--trainer.devices: unknown word"),
    ("--images photos --batch_size big", "--batch_size: expected a whole number from 1 on, got 'big'"),
    ("--images photos --batch_size 0", "--batch_size: expected a whole number from 1 on, got '0'"),
    ("--images photos --output", "-o/--output: expected one argument"),
    ("--images photos --output photos", "output is photos: give a file to write"),
    ("--images photos --output photos/00.png", "output is photos/00.png: give a file to write"),
    ("--images photos --output /proc/such.csv", "/proc/such.csv: cannot be written (No such file or directory)"),
    ("--images=photos --output=a.csv photos", "photos: one word too many"),
    ("--image photos", "image: unknown key; did you mean --images?"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_told_in_a_line_and_writes_nothing(
    cli: Cli, photos: Path, trained_once: RunFolder, words: str, expected: str
) -> None:
    Path("empty").mkdir()
    Path("predictions.csv").write_text("of another time")
    ended = cli("predict", "--run", str(trained_once), *words.split())
    assert ended.code == 2
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
    assert Path("predictions.csv").read_text() == "of another time"
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "photos", "predictions.csv"]


def test_weights_must_be_named(cli: Cli, photos: Path) -> None:
    ended = cli("predict", "--images", "photos")
    assert (ended.code, "--run RUN" in ended.err) == (2, True)
    ended = cli("predict", "--images", "photos", "--ckpt_path", "no.ckpt")
    assert (ended.code, ended.err) == (2, "error: no.ckpt: no such checkpoint\n")


def test_help_stands_with_the_other_words_too(cli: Cli) -> None:
    for words in (["--help"], ["--images", "photos", "-h"]):
        ended = cli("predict", *words)
        assert ended.code == 0
        assert "--images PATH" in ended.out


def test_ctrl_c_leaves_the_table_of_before(
    cli: Cli, photos: Path, trained_once: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("predictions.csv").write_text("of another time")
    seen = []

    def interrupted(self: ClassificationTask, batch: torch.Tensor, number: int) -> torch.Tensor:
        seen.append(len(batch))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return torch.full((len(batch), 10), 0.1)

    monkeypatch.setattr(ClassificationTask, "predict_step", interrupted)
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size=5")
    assert (ended.code, ended.err) == (130, "stopped; there is nothing to resume\n")
    assert seen == [5, 5]
    assert Path("predictions.csv").read_text() == "of another time"
    assert sorted(path.name for path in Path().iterdir()) == ["photos", "predictions.csv"]


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
    of_run, of_files = table(find("runs/pets").path / "predictions.csv"), table()
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
    assert list(table()[0]) == [
        *("path", "class", "probability", "class_1", "probability_1"),
        *("class_2", "probability_2", "class_3", "probability_3", "error"),
    ]
    assert {table()[0][f"class_{k}"] for k in (1, 2, 3)} == {"legs", "body", "feet"}
    assert sum(float(table()[0][f"probability_{k}"]) for k in (1, 2, 3)) == pytest.approx(1, abs=3e-6)

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
    assert sum(float(table()[0][f"probability_{k}"]) for k in range(1, 6)) <= 1


def test_the_runs_own_limit_of_pixels_holds(cli: Cli, trained_once: RunFolder) -> None:
    Image.new("L", (30, 30), 200).save("large.png")
    Image.new("L", (28, 28), 200).save("small.png")

    def allow_less(checkpoint: dict[str, Any]) -> None:
        assert checkpoint["data"]["max_pixels"] == 64_000_000
        checkpoint["data"]["max_pixels"] = 28 * 28

    ended = cli("predict", "--ckpt_path", changed(trained_once, allow_less), "--images", "large.png", "small.png")
    assert ended.code == 3
    assert ended.err.strip() == "large.png: 30x30 pixels are more than max_pixels, 784"
    assert [bool(row["error"]) for row in table()] == [True, False]
    older = changed(trained_once, lambda checkpoint: checkpoint["data"].pop("max_pixels"))
    assert cli("predict", "--ckpt_path", older, "--images", "large.png").code == 0


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_what_is_passed_over_is_said_in_one_line(cli: Cli, trained_once: RunFolder, command: str) -> None:
    Path("photos").mkdir()
    for name in ("a.png", "b.ppm", "c.unheard"):
        Image.new("L", (28, 28), 200).save(f"photos/{name}", "PPM" if name != "a.png" else "PNG")
    for k in range(3):
        Path(f"photos/{k}.txt").write_text("notes")
    ended = cli(command, "--run", str(trained_once), "--images", "photos", "--output", "written")
    assert ended.code == 0, ended.err
    notices = [line for line in ended.err.splitlines() if line.startswith("cnnkit: photos")]
    assert notices == ["cnnkit: photos: 3 passed over: 3 no image by content (0.txt)"]
    Path("none").mkdir()
    Path("none/notes.txt").write_text("notes")
    ended = cli(command, "--run", str(trained_once), "--images", "none")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "no image in it" in ended.err
    assert "none: 1 passed over: 1 no image by content (notes.txt)" in ended.err


def test_pillows_notices_are_not_repeated_for_every_file(cli: Cli, trained_once: RunFolder) -> None:
    for k in range(3):
        exif = b"Exif\0\0II*\0" + bytes([k, 255, 255, 255])
        Image.new("L", (28, 28), 200).save(f"{k}.jpg", exif=exif)
    ended = cli("predict", "--run", str(trained_once), "--images", "0.jpg", "1.jpg", "2.jpg")
    assert (ended.code, ended.err) == (0, "")


def test_views_of_an_image_are_averaged(
    cli: Cli, photos: Path, trained_once: RunFolder, test_images: torch.Tensor
) -> None:
    ended = cli("predict", "--run", str(trained_once.path), "--images", str(photos), "--tta", "flip")
    assert ended.code == 0, ended.err
    task = ClassificationTask.load_from_checkpoint(trained_once.best, weights_only=True, map_location="cpu").eval()
    images = (test_images.float() / 255 - 0.2860) / 0.3530
    with torch.inference_mode():
        expected = ((task.net(images) + task.net(images.flip(3))) / 2).softmax(1).amax(1)
    assert [float(row["probability"]) for row in table()] == pytest.approx(expected.tolist(), abs=1e-5)
