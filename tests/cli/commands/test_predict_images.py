"""`predict --images`: files in, a table of classes out, with no data set at hand."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from prediction_table import read_table
from small_runs import Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.inference.trained_net import TrainedNet
from cnnkit.runs import RunFolder

NAMES = FashionMNISTSample().class_names
FIRST = 12  # test images in use


@pytest.fixture(scope="module")
def probabilities(trained_once: RunFolder, test_images: torch.Tensor) -> torch.Tensor:
    """Of the test images, computed by hand."""
    return by_hand(trained_once, test_images)


@torch.inference_mode()
def by_hand(run: RunFolder, images: torch.Tensor) -> torch.Tensor:
    task = ClassificationTask.load_from_checkpoint(run.best, weights_only=True, map_location="cpu").eval()
    return task.net((images.float() / 255 - 0.2860) / 0.3530).softmax(1)


@pytest.mark.parametrize("size", [64, 5])
def test_a_file_has_the_probabilities_of_the_same_image_in_the_data_set(
    cli: Cli, photos: Path, trained_once: RunFolder, probabilities: torch.Tensor, size: int
) -> None:
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size", str(size))
    assert ended.code == 0, ended.err
    rows = read_table()
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
    assert [float(row["probability"]) for row in read_table()] == pytest.approx([expected] * 3, abs=2e-6)


def test_files_and_folders_mix_and_each_image_counts_once(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    words = ["--images", "photos/03.png", "photos/more", "--images=photos/03.png", "--output=mine.csv"]
    ended = cli("predict", *words, "--ckpt_path", str(trained_once.last))
    assert ended.code == 0, ended.err
    assert [Path(row["path"]).stem for row in read_table("mine.csv")] == ["03", "07", "08", "09", "10", "11"]
    assert not Path("predictions.csv").exists()


def test_what_cannot_be_read_is_named_and_the_rest_is_predicted(
    cli: Cli, photos: Path, trained_once: RunFolder
) -> None:
    Path("photos/05.png").write_bytes(Path("photos/05.png").read_bytes()[:100])
    Path("photos/more/text.jpg").write_text("hello")
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size=4")
    assert ended.code == 3
    assert [line.split(": ")[0] for line in ended.err.splitlines()] == ["photos/05.png", "photos/more/text.jpg"]
    rows = {row["path"]: row for row in read_table()}
    assert len(rows) == FIRST + 1
    failed = [path for path, row in rows.items() if row["error"]]
    assert failed == ["photos/05.png", "photos/more/text.jpg"]
    assert all(rows[path]["class"] == rows[path]["probability_1"] == "" for path in failed)
    assert all(row["class"] in NAMES for path, row in rows.items() if path not in failed)


def test_nothing_readable_at_all(cli: Cli, trained_once: RunFolder) -> None:
    Path("a.png").touch()
    assert cli("predict", "--run", str(trained_once), "--images", "a.png").code == 3
    assert [row["error"] for row in read_table()] == ["an empty file"]


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
    assert "\\x1b[2J\\xff.png" in ended.out
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

    def interrupted(self: TrainedNet, batch: torch.Tensor, number: int) -> torch.Tensor:
        seen.append(len(batch))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return torch.full((len(batch), 10), 0.1)

    monkeypatch.setattr(TrainedNet, "predict_step", interrupted)
    ended = cli("predict", "--run", str(trained_once), "--images", "photos", "--batch_size=5")
    assert (ended.code, ended.err) == (130, "stopped; there is nothing to resume\n")
    assert seen == [5, 5]
    assert Path("predictions.csv").read_text() == "of another time"
    assert sorted(path.name for path in Path().iterdir()) == ["photos", "predictions.csv"]


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
    assert [float(row["probability"]) for row in read_table()] == pytest.approx(expected.tolist(), abs=1e-5)
    assert {row["tta"] for row in read_table()} == {"flip"}
    assert "flip (--tta)" in ended.out
