"""``check-data``: planted copies, broken files and wrong labels are found, and nothing else."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from parsed_page import Parsed, check_self_contained
from PIL import Image
from small_runs import Cli
from torch.nn import functional as F

from cnnkit.data import CIFAR10, FashionMNISTSample
from cnnkit.data.store import Store
from cnnkit.inference.task_loading import load_task
from cnnkit.runs import RunFolder

FOLDER = ["check-data", "--data=ImageFolder", "--data.root=photos", "--data.image_size=40", "--data.num_workers=0"]


def draw(seed: int, side: int = 48, channels: int = 3) -> np.ndarray:
    """A smooth image with some detail."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.integers(0, 256, (1, channels, 6, 6)).astype(np.float32))
    smooth = F.interpolate(coarse, (side, side), mode="bicubic")[0].permute(1, 2, 0).numpy()
    image = smooth * 0.8 + generator.integers(0, 40, (side, side, channels))
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def photos(cli: Cli) -> Path:
    """Two classes in three parts, twelve images each of which no two are alike."""
    for number, (part, name) in enumerate((p, n) for p in ("train", "val", "test") for n in ("ant", "bee")):
        Path("photos", part, name).mkdir(parents=True)
        for k in range(12):
            Image.fromarray(draw(100 * number + k)).save(f"photos/{part}/{name}/{k:02}.png")
    return Path("photos")


def rows(path: str = "data-check.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_clean_folder_has_no_findings(cli: Cli, photos: Path) -> None:
    ended = cli(*FOLDER, "--strict")
    assert ended.code == 0, ended.err
    assert rows() == []
    assert "72 images: 24 train, 24 val, 24 test." in Path("data-check.html").read_text(encoding="utf-8")


def test_planted_faults_are_found_each_as_what_it_is(cli: Cli, photos: Path) -> None:
    ant, bee = photos / "train/ant", photos / "train/bee"
    shutil.copy(ant / "00.png", bee / "copy.png")
    shutil.copy(ant / "01.png", photos / "test/ant/copy.png")
    image = Image.open(bee / "02.png")
    image.resize((70, 70)).save(photos / "test/bee/larger.jpg", quality=70)
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "val/bee/mirrored.png")
    (ant / "broken.jpg").write_bytes((photos / "test/bee/larger.jpg").read_bytes()[:300])
    (bee / "empty.png").touch()
    Image.fromarray(draw(907)).convert("CMYK").save(ant / "print.jpg")
    Image.fromarray(draw(908, channels=1)[..., 0].astype(np.uint16) * 257).save(bee / "deep.png")
    frames = [Image.fromarray(draw(seed)) for seed in (909, 910)]
    frames[0].save(ant / "moving.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(draw(911, side=7)).save(bee / "tiny.png")
    ended = cli(*FOLDER, "--mirrored", "--strict", "-o", "out/page.html")
    assert ended.code == 1, ended.err
    found = rows("out/page.csv")
    pairs = {(r["kind"], frozenset([r["image"], r["other"]])) for r in found if r["other"]}
    assert pairs == {
        ("exact", frozenset(["train/ant/00.png", "train/bee/copy.png"])),
        ("exact", frozenset(["train/ant/01.png", "test/ant/copy.png"])),
        ("similar", frozenset(["train/bee/02.png", "test/bee/larger.jpg"])),
        ("mirrored", frozenset(["train/bee/02.png", "val/bee/mirrored.png"])),
        ("mirrored", frozenset(["test/bee/larger.jpg", "val/bee/mirrored.png"])),
    }
    files = {(r["kind"], r["image"], r["part"]) for r in found if not r["other"]}
    assert files == {
        ("unreadable", "train/ant/broken.jpg", "train"),
        ("unreadable", "train/bee/empty.png", "train"),
        ("special", "train/ant/print.jpg", "train"),
        ("special", "train/bee/deep.png", "train"),
        ("special", "train/ant/moving.gif", "train"),
        ("tiny", "train/bee/tiny.png", "train"),
    }
    (leak,) = [r for r in found if r["kind"] == "exact" and "test/ant/copy.png" in (r["image"], r["other"])]
    assert {leak["part"], leak["other_part"]} == {"train", "test"}
    page = Parsed(Path("out/page.html").read_text(encoding="utf-8"))
    check_self_contained(page)
    pair = "train/bee/02.png (train, bee) ~ test/bee/larger.jpg (test, bee)"
    assert sum(each["alt"].startswith(pair) for each in page.attributes("img")) == 1


def test_classes_with_few_images_are_named(cli: Cli, photos: Path) -> None:
    for file in sorted((photos / "train/bee").iterdir())[1:]:
        file.unlink()
    shutil.rmtree(photos / "val/bee")
    assert cli(*FOLDER).code == 0
    notes = {(r["part"], r["label"], r["note"]) for r in rows()}
    assert notes == {("train", "bee", "1 training images"), ("val", "bee", "no val images")}


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up images in the place of CIFAR-10, of which some test images are training images, as they are or darker."""

    def open_made_up(self: CIFAR10) -> Store:
        train, test = (
            torch.from_numpy(np.stack([draw(seed, side=32) for seed in seeds])).permute(0, 3, 1, 2)
            for seeds in (range(200), range(1000, 1040))
        )
        test = test.clone()
        test[3] = train[7]
        test[5] = (train[11].float() * 0.8 + 20).to(torch.uint8)
        labels = [torch.arange(len(part)) % 10 for part in (train, test)]
        names = tuple(f"class {k}" for k in range(10))
        return Store("made up", train, labels[0], test, labels[1], names, "made up", {})

    monkeypatch.setattr(CIFAR10, "open", open_made_up)


@pytest.mark.usefixtures("arrays")
def test_copies_among_arrays_are_named_by_their_places(cli: Cli) -> None:
    ended = cli("check-data", "--data=CIFAR10", "--data.val_size=50", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["test images like one of another part"] == "2"
    pairs = {(r["kind"], r["image"], r["other"], r["label"], r["other_label"]) for r in rows() if r["other"]}
    assert pairs == {
        ("exact", "train/7", "test/3", "class 7", "class 3"),
        ("similar", "train/11", "test/5", "class 1", "class 5"),
    }
    data = CIFAR10(val_size=50)
    data.setup()
    trained = set(data.train_indices.tolist())
    assert {r["part"] for r in rows() if r["image"] == "train/7"} == {"train" if 7 in trained else "val"}
    assert cli("check-data", "--data=CIFAR10", "--data.val_size=50", "--similarity=1", "--json").code == 0
    assert [r["kind"] for r in rows() if r["other"]] == ["exact"]


@pytest.mark.usefixtures("arrays")
def test_images_that_cannot_be_drawn_are_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "in_channels", 4)
    ended = cli("check-data", "--data=CIFAR10", "--data.val_size=50", "--model.net=MLP")
    assert ended.code == 2
    assert "CIFAR10 has images of 4 channels" in ended.err


def test_doubtful_labels_are_those_of_the_highest_loss(cli: Cli, trained_once: RunFolder) -> None:
    ended = cli("check-data", "--run", str(trained_once.path), "--labels=20", "--similarity=1")
    assert ended.code == 0, ended.err
    found = [r for r in rows() if r["kind"] == "label"]
    task = load_task(trained_once.best, [trained_once.config])[0].eval()
    data = FashionMNISTSample()
    data.setup()
    with torch.inference_mode():
        batches = [(task(images), labels) for images, labels in data.plain_batches("val")]
    losses = torch.cat([F.cross_entropy(logits.float(), labels, reduction="none") for logits, labels in batches])
    worst = losses.argsort(descending=True)[:20]
    assert {r["part"] for r in found} == {"val"}
    assert {r["image"] for r in found} == {f"train/{place}" for place in data.val_indices[worst].tolist()}
    assert float(found[0]["loss"]) == pytest.approx(float(losses.max()), rel=1e-3)
    page = Path("data-check.html").read_text(encoding="utf-8")
    assert "Training images are not judged" in page
    assert "labels of the test images were not judged: the run was not tested" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data ImageFolder --data.root nowhere", "nowhere"),
        ("--run nowhere", "nowhere"),
        ("--similarity 2", "--similarity: expected a number from 0 to 1"),
        ("--distance x", "--distance: expected a whole number"),
        ("-o page.txt", "output is page.txt: give a file that ends in .html, .htm"),
        ("--run runs/a --data MNIST", "--run has data of its own; give one of them"),
        ("--labels 20", "--labels: a net finds doubtful labels; name its run with --run"),
        ("--mirored", "--mirored: unknown word; did you mean --mirrored?"),
    ],
)
def test_a_mistake_of_the_words_is_one_line(cli: Cli, words: str, said: str) -> None:
    ended = cli("check-data", *words.split())
    assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended.err
    assert said in ended.err
    assert not list(Path().iterdir())
