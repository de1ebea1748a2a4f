"""Six public data sets in miniature, laid out as their zip files are: fit, test and predict as a newcomer would."""

from pathlib import Path

import pytest
from photo_folders import WORDS, lay
from small_runs import Cli

PETS = [f"PetImages/{name}/{i}.jpg" for name in ("Cat", "Dog") for i in range(12)]
KAGGLE = [f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(12)] + [f"test1/{i}.jpg" for i in range(3)]
SCENES = ["buildings", "forest", "glacier", "mountain", "sea", "street"]
INTEL = [f"seg_{p}/seg_{p}/{name}/{i}.jpg" for p in ("train", "test") for name in SCENES for i in range(8)]
XRAY = [
    f"chest_xray/{part}/{name}/{name}-{i}.jpeg"
    for part, count in (("train", 9), ("val", 2), ("test", 4))
    for name in ("NORMAL", "PNEUMONIA")
    for i in range(count)
]
SIGNS = [f"GTSRB/Final_Training/Images/0000{k}/00000_{i:05}.ppm" for k in range(3) for i in range(8)]
ROBOFLOW = [f"{p}/{name}/{i}_jpg.rf.0.jpg" for p in ("train", "valid", "test") for name in ("a", "b") for i in range(6)]


def run_all(cli: Cli, root: str, images: str) -> str:
    """Fit, test, and predict a folder of images; what was said."""
    fitted = cli("fit", *WORDS, f"--data.root={root}")
    assert fitted.code == 0, fitted.err
    tested = cli("test", "--run", "runs/r")
    assert tested.code == 0, tested.err
    assert "test/acc" in tested.out
    assert "changed" not in tested.err
    predicted = cli("predict", "--run", "runs/r", "--images", images)
    assert predicted.code == 0, predicted.err
    return fitted.err


@pytest.mark.slow
def test_cats_and_dogs(cli: Cli) -> None:
    lay(KAGGLE, "sampleSubmission.csv")
    ended = cli("fit", *WORDS, "--data.root=.")
    assert ended.code == 2
    assert "train: 24 images (cat.0.jpg ...) without class folders beside sampleSubmission.csv" in ended.err
    assert "their names begin with cat, dog: put the images of each class into a folder of its own" in ended.err
    for name in ("cat", "dog"):
        Path("train", name).mkdir()
        for file in Path("train").glob(f"{name}.*"):
            file.rename(Path("train", name, file.name))
    assert "predict --run RUN --images test1" in run_all(cli, ".", "test1")


@pytest.mark.slow
def test_pets(cli: Cli) -> None:
    lay(PETS, "readme[1].txt", "PetImages/Cat/Thumbs.db", "__MACOSX/PetImages/._Cat")
    Path("PetImages/Cat/666.jpg").touch()  # as in the published file
    ended = cli("fit", *WORDS, "--data.root=.")
    assert ended.code == 2
    assert "Cat/666.jpg: an empty file; mend or remove it, or set data.on_bad_image to skip" in ended.err
    assert cli("fit", *WORDS, "--data.root=.", "--data.on_bad_image=skip").code == 0


def test_intel_scenes(cli: Cli) -> None:
    lay([*INTEL, *(f"seg_pred/seg_pred/{i}.jpg" for i in range(3))])
    said = run_all(cli, ".", "seg_pred")
    assert said.count("train from seg_train/seg_train; test from seg_test/seg_test") == 1  # once a command


@pytest.mark.slow
def test_chest_x_rays(cli: Cli) -> None:
    lay(XRAY, "chest_xray/train/.DS_Store", "chest_xray/__MACOSX/._train")
    lay([f"chest_xray/{file}" for file in XRAY])
    run_all(cli, ".", "chest_xray/test/NORMAL")


@pytest.mark.slow
def test_traffic_signs(cli: Cli) -> None:
    lay([*SIGNS, *(f"GTSRB/Final_Test/Images/{i:05}.ppm" for i in range(3))], "GTSRB/Readme-Images.txt")
    lay([], "GTSRB/Final_Training/Images/00000/GT-00000.csv", "GTSRB/Final_Test/Images/GT-final_test.test.csv")
    assert "predict --run RUN --images GTSRB/Final_Test/Images" in run_all(cli, ".", "GTSRB/Final_Test/Images")


@pytest.mark.slow
def test_roboflow(cli: Cli) -> None:
    lay(ROBOFLOW, "README.dataset.txt", "README.roboflow.txt")
    assert "train from train; val from valid; test from test" in run_all(cli, ".", "test/a")


def test_a_table_of_labels_is_refused(cli: Cli) -> None:
    lay([f"images/{i}.jpg" for i in range(9)], "labels.csv")
    ended = cli("fit", *WORDS, "--data.root=.")
    assert ended.code == 2
    assert "beside labels.csv, which --data ImageTable reads (--data.table" in ended.err
