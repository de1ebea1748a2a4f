"""What people do to folders of images around a run: every remedy that a message names works."""

import os
from pathlib import Path

import pytest
from photo_folders import WORDS, lay
from small_runs import Cli

from cnnkit.data import ImageFolder

TWO = [f"photos/{name}/{i}.png" for name in ("cat", "dog") for i in range(12)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lay(TWO)
    return Path("photos")


def test_a_resume_names_the_image_that_broke_and_how_to_go_on(cli: Cli, photos: Path) -> None:
    assert cli("fit", *WORDS, "--data.root=photos", "--data.test_size=0").code == 0
    file = photos / "cat/0.png"
    kept = file.read_bytes()
    file.write_bytes(b"broken")
    ended = cli("fit", "--resume", "runs/r", "--trainer.max_epochs=2")
    assert ended.code == 2
    assert "cat/0.png); restore them, or start a new run" in ended.err
    file.write_bytes(kept)
    assert cli("fit", "--resume", "runs/r", "--trainer.max_epochs=2").code == 0


def test_a_run_without_test_images_says_so_and_is_tested_on_new_ones(cli: Cli, photos: Path) -> None:
    fitted = cli("fit", *WORDS, "--data.root=photos", "--data.test_size=0")
    assert fitted.code == 0
    assert "test it" not in fitted.out
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 2
    assert "there are no test images; add some that the run was not trained on as photos/test" in ended.err
    lay([f"photos/test/{name}/{i}.png" for name in ("cat", "dog") for i in range(3)])
    for name in ("cat", "dog"):  # a folder with parts has its classes in train
        (photos / "train").mkdir(exist_ok=True)
        (photos / name).rename(photos / "train" / name)
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0, ended.err
    assert "test/acc" in ended.out


def test_without_validation_images_nothing_of_lightning_is_said(cli: Cli, photos: Path) -> None:
    for words in ([*WORDS, "--data.root=photos"], ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1"]):
        ended = cli("fit", *words, "--data.val_size=0", "--trainer.enable_progress_bar=false")
        assert ended.code == 0
        assert "across ranks" not in ended.err
        assert "nothing was validated" in ended.out


def test_a_place_that_is_no_folder(cli: Cli, photos: Path) -> None:
    Path("file").write_text("words")
    os.mkfifo("pipe")
    Path("link").symlink_to("nowhere")
    for place, told in (("file", "is a file"), ("pipe", "is a file"), ("link", "a link that leads nowhere")):
        ended = cli("fit", *WORDS, f"--data.root={place}")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert told in ended.err
        for data in (["--data=MNIST"], [*WORDS, "--data.root=photos"]):
            ended = cli("fit", *data, f"--data.data_dir={place}")
            assert (ended.code, ended.err.count("\n")) == (2, 1)
            assert f"data_dir is {place}, which is not a folder; name a folder for the data" in ended.err


def test_a_file_that_is_cut_off(cli: Cli, photos: Path) -> None:
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        lay([f"photos/cat/{name}"])
        file = photos / "cat" / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
        ended = cli("fit", *WORDS, "--data.root=photos")
        assert ended.code == 2
        assert f"photos/cat/{name}: the file ends too early, or is damaged" in ended.err
        file.unlink()


def test_a_run_is_scored_as_it_was_trained(cli: Cli, photos: Path) -> None:
    assert cli("fit", *WORDS, "--data.root=photos").code == 0
    for words in (["--data.image_size=32"], ["--model.net.channels=[3]"]):
        ended = cli("test", "--run", "runs/r", *words)
        assert ended.code == 2
        assert "a run is scored with the net and image size that it was trained with; leave out" in ended.err
        assert "--run RUN" not in ended.err
    output = Path("new/p.csv")
    assert cli("predict", "--run", "runs/r", "--images", "photos/cat/1.png", "-o", str(output)).code == 0
    assert output.exists()


def test_a_link_to_a_folder_above_brings_no_image_of_another_class(photos: Path) -> None:
    before = ImageFolder("photos", 8, num_workers=0, data_dir="data")
    Path("photos/cat/deep").mkdir()
    Path("photos/cat/deep/back").symlink_to("../..")
    Path("photos/cat/back").symlink_to("..")
    after = ImageFolder("photos", 8, num_workers=0, data_dir="data")
    for data in (before, after):
        data.setup()
    assert before.describe()["classes"] == after.describe()["classes"]
    assert sum(after.describe()["classes"]["train"].values()) <= 24
    assert list(after.describe()["left_out"].values()) == [2]
