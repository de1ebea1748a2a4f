"""`explain`: images in, a table and pictures out."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import SHORT, Cli

from cnnkit import ClassificationTask, FashionMNISTSample
from cnnkit.runs import RunFolder, find

NAMES = FashionMNISTSample().class_names
pytest.importorskip("captum")


@pytest.fixture(scope="module")
def test_images() -> torch.Tensor:
    return FashionMNISTSample().open().test_images[:3].clone()


@pytest.fixture
def photos(cli: Cli, test_images: torch.Tensor) -> Path:
    """Test images as files in the current folder: ``photos/0.png``, ``1.png`` and ``more/0.png``."""
    Path("photos/more").mkdir(parents=True)
    for image, name in zip(test_images, ("0", "1", "more/0"), strict=True):
        Image.fromarray(image[0].numpy()).save(f"photos/{name}.png")
    return Path("photos")


@pytest.fixture(scope="module")
def probabilities(trained_once: RunFolder, test_images: torch.Tensor) -> torch.Tensor:
    """Of the test images, computed by hand."""
    task = ClassificationTask.load_from_checkpoint(trained_once.best, weights_only=True, map_location="cpu").eval()
    with torch.inference_mode():
        return task.net((test_images.float() / 255 - 0.2860) / 0.3530).softmax(1)


def panels(path: str | Path) -> float:
    """Of one row of a picture, the image itself included; one is 1.7 inches wide, of 150 pixels each."""
    return Image.open(path).width / (1.7 * 150)


def test_files_and_test_images_have_the_probabilities_that_predict_gives(
    cli: Cli, photos: Path, trained_once: RunFolder, probabilities: torch.Tensor
) -> None:
    words = ["--images", "photos", "--test_images", "2", "0", "--json", "-o", "why"]
    ended = cli("explain", "--run", str(trained_once), *words)
    assert (ended.code, ended.err) == (0, "")
    found = json.loads(ended.out)
    assert [each["path"] for each in found["images"]] == [
        "test image 2", "test image 0", "photos/0.png", "photos/1.png", "photos/more/0.png",
    ]  # fmt: skip
    labels = FashionMNISTSample().open().test_labels
    for each, index in zip(found["images"], (2, 0, 0, 1, 2), strict=True):
        values, classes = probabilities[index].topk(3)
        assert each["top"] == pytest.approx(
            dict(zip([NAMES[k] for k in classes.tolist()], values.tolist(), strict=True)), abs=2e-6
        )
        assert each["class"] == each["explained"]["class"] == NAMES[classes[0]]
        assert each["label"] == (NAMES[labels[index]] if "test" in each["path"] else None)
        assert each["maps"] is None
    pictures = [Path(each["picture"]).name for each in found["images"]]
    assert pictures == [
        "test_00002_explained.png", "test_00000_explained.png",
        "0_explained.png", "1_explained.png", "0-2_explained.png",
    ]  # fmt: skip
    assert sorted(pictures) == sorted(path.name for path in Path("why").iterdir())
    assert panels("why/0_explained.png") == 4
    assert Image.open("why/0_explained.png").tobytes() != Image.open("why/1_explained.png").tobytes()


def test_the_table_says_where_the_pictures_are(
    cli: Cli, photos: Path, fit: Callable[..., RunFolder], probabilities: torch.Tensor
) -> None:
    run = fit("--trainer.max_epochs=1")
    ended = cli("explain", "--run", "runs", "--images", "photos/1.png", "--maps")
    assert ended.code == 0, ended.err
    assert [line.split()[0] for line in ended.out.splitlines()] == ["image", "photos/1.png", "pictures"]
    assert str(run.path / "explanations") in ended.out
    assert sorted(path.name for path in (run.path / "explanations").iterdir()) == ["1_explained.png", "1_maps.png"]


def test_one_picture_for_all(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    for name, words in {"one": ["0"], "two": ["0", "1"]}.items():
        ended = cli("explain", "--run", str(trained_once), "--test_images", *words, "--output", f"{name}.png")
        assert ended.code == 0, ended.err
    one, two = Image.open("one.png"), Image.open("two.png")
    assert (two.width, two.height) == (one.width, 2 * one.height)
    assert sorted(path.name for path in Path().iterdir()) == ["one.png", "photos", "two.png"]


def test_another_class_and_another_module(
    cli: Cli, photos: Path, trained_once: RunFolder, probabilities: torch.Tensor
) -> None:
    least = int(probabilities[0].argmin())
    seen = set()
    for words in ([], ["--class", NAMES[least]], ["--module", "features.0"]):
        ended = cli("explain", "--run", str(trained_once), "--images", "photos/0.png", *words, "-o", "a.png", "--json")
        assert ended.code == 0, ended.err
        seen.add(hashlib.sha256(Path("a.png").read_bytes()).hexdigest())
        (image,) = json.loads(ended.out)["images"]
        if "--class" in words:
            assert image["explained"] == {"class": NAMES[least], "probability": pytest.approx(probabilities[0, least])}
            assert image["class"] == NAMES[int(probabilities[0].argmax())]
    assert len(seen) == 3


def test_what_cannot_be_read_is_named_and_the_rest_explained(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    Path("photos/1.png").write_text("hello")
    ended = cli("explain", "--run", str(trained_once), "--images", "photos", "-o", "why", "--json")
    assert ended.code == 3
    found = json.loads(ended.out)
    assert [each["path"] for each in found["images"]] == ["photos/0.png", "photos/more/0.png"]
    assert len(found["unreadable"]) == 1
    assert ended.err.startswith("photos/1.png: not an image")
    for words in ([], ["--json"]):
        ended = cli("explain", "--run", str(trained_once), "--images", "photos/1.png", "-o", "none", *words)
        assert ended.code == 3
    assert not Path("none").exists()


def test_without_captum_there_is_grad_cam_and_a_note(
    cli: Cli, photos: Path, trained_once: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    ended = cli("explain", "--run", str(trained_once), "--images", "photos/0.png", "-o", "a.png")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "a class activation map alone: pip install 'cnnkit[explain]' brings integrated gradients and occlusion"
    ]
    assert panels("a.png") == 2


def test_a_net_without_convolutions_is_explained_by_the_others(cli: Cli, photos: Path) -> None:
    assert cli("fit", "--model.net=MLP", "--model.net.hidden_sizes=[8]", *SHORT, "--data.batch_size=32").code == 0
    ended = cli("explain", "--run", "runs", "--images", "photos/0.png", "-o", "a.png")
    assert (ended.code, ended.err) == (0, "no class activation map: MLP has no convolution\n")
    assert panels("a.png") == 3
    ended = cli("explain", "--run", "runs", "--images", "photos/0.png", "-o", "b.png", "--maps")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "MLP has no feature maps" in ended.err


def test_images_are_never_written_over(cli: Cli, photos: Path, trained_once: RunFolder) -> None:
    Path("photos/1.png").rename("photos/0_explained.png")
    before = Path("photos/0_explained.png").read_bytes()
    ended = cli("explain", "--run", str(trained_once), "--images", "photos", "-o", "photos", "--json")
    assert ended.code == 0, ended.err
    assert Path("photos/0_explained.png").read_bytes() == before
    assert Path(json.loads(ended.out)["images"][0]["picture"]) == Path("photos/0-2_explained.png")


def test_gray_files_for_a_color_net_of_ones_own_folder(cli: Cli) -> None:
    for number in range(24):
        folder = Path("pets/train" if number < 16 else "pets/test", "cat" if number % 2 else "dog $x$")
        folder.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((30, 20), 90 + number).save(folder / f"{number}.png")
    words = ["--data=ImageFolder", "--data.root=pets", "--data.image_size=16", "--data.val_size=4"]
    ended = cli("fit", *words, "--model.net=ResNet", "--model.net.depth=8", *SHORT, "--data.batch_size=4")
    assert ended.code == 0, ended.err
    ended = cli("explain", "--run", "runs", "--test_images", "0", "7", "--images", "pets/test/cat/17.png", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["images"]
    assert len(found) == 3
    assert {found[0]["label"], found[1]["label"]} == {"cat", "dog $x$"}
    assert panels(found[0]["picture"]) == 4
    assert {Path(each["picture"]).parent for each in found} == {find("runs").path / "explanations"}


MISTAKES = [
    ("", "no images: name files (--images photo.jpg)"),
    ("--images nothing.png", "nothing.png: no such file or folder"),
    ("--images empty", "empty: no image in it"),
    ("--images photos --test_images -1", "--test_images: expected"),
    ("--images photos --test_images 2000", "test image 2000: there are 2,000, numbered from 0 to 1999"),
    ("--images photos --class Boot", "class 'Boot' is none of the net's; did you mean"),
    ("--images photos --module feature.3", "CNN has no module 'feature.3'; there are features"),
    ("--images photos --module head", "head of CNN gives no maps"),
    ("--images photos --output photos/1.png", "output is photos/1.png, one of the images"),
    ("--images photos --output empty/a.txt", "output is empty/a.txt: give a folder"),
    ("--images photos --maps --output a.png", "output is a.png: one file has room for the feature maps of one image"),
    ("--images photos/0.png --output no.txt/a.png", "no.txt/a.png: cannot be written ("),
    ("--images photos --modul x", "--modul: unknown word; did you mean --module?"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_mistake_is_told_in_a_line_and_writes_nothing(
    cli: Cli, photos: Path, trained_once: RunFolder, words: str, expected: str
) -> None:
    Path("empty").mkdir()
    Path("empty/a.txt").touch()
    Path("no.txt").touch()
    ended = cli("explain", "--run", str(trained_once), *words.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {expected}"), ended.err
    assert len(ended.err.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "no.txt", "photos"]
    assert not (trained_once.path / "explanations").exists()
