"""A folder of images that changes after training: said, and nothing that was trained on is scored."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit.cli import main
from cnnkit.data.folders.run_split import RunSplit, read_split
from cnnkit.runs import RunFolder, find
from cnnkit.runs.predictions import load_predictions

WORDS = [
    *(
        "--data=ImageFolder",
        "--data.root=photos",
        "--data.data_dir=data",
        "--data.image_size=16",
        "--data.batch_size=8",
    ),
    *("--data.num_workers=0", "--data.test_size=0.2", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"),
    *("--watch=null", "--model.net.channels=[4,4]"),
]


def draw(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos and a run on it; do not write to it."""
    desk = tmp_path_factory.mktemp("desk")
    for label, name in enumerate(("cat", "dog")):
        for i in range(30):
            draw(desk / "photos" / name / f"{i:02}.png", 100 * label + i)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.setenv("CNNKIT_PRECISION", "32-true")
        assert main(["fit", *WORDS, "--name", "r"]) == 0
    return desk


@pytest.fixture
def desk(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def split_of(run: RunFolder) -> RunSplit:
    found = read_split(run.split)
    assert found is not None
    return found


def names(split: RunSplit, part: str) -> list[str]:
    return [row.path for row in split.rows if row.part == part]


def scored(run: RunFolder) -> set[str]:
    identity = load_predictions(run.predictions).identity
    assert identity is not None
    return {f"{value:016x}" for value in identity.tolist()}


def test_a_run_keeps_which_images_it_was_trained_on(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    split, data = split_of(run), run.manifest()["data"]
    for part in ("train", "val", "test"):
        assert len(names(split, part)) == data[f"{part}_images"] == sum(data["classes"][part].values())
    assert split.class_names == ["cat", "dog"]
    assert data["split"] == split.digest()
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0
    assert "changed" not in ended.err
    assert scored(run) == {row.content for row in split.rows if row.part == "test"}


def test_images_from_another_decoder_are_scored_with_a_line(desk: Path, cli: Cli) -> None:
    manifest = find("runs/r").manifest_file
    content = json.loads(manifest.read_text())
    assert "Pillow" in content["data"]["decoder"]
    content["data"]["decoder"] = "cnnkit 1, Pillow 7.0"
    manifest.write_text(json.dumps(content))
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0
    assert "was trained on images from cnnkit 1, Pillow 7.0, here it is cnnkit 1, Pillow " in ended.err
    del content["data"]["decoder"]  # an older run
    manifest.write_text(json.dumps(content))
    assert "trained on images from" not in cli("test", "--run", "runs/r").err


def test_what_was_added_removed_and_changed_is_said_and_nothing_trained_on_is_scored(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    split = split_of(run)
    shutil.rmtree("data")  # and with it the record of the split
    (gone, other), test = names(split, "train")[:2], names(split, "test")
    Path("photos", gone).unlink()
    draw(Path("photos", test[0]), 999)
    Path("photos", other).rename(Path("photos", other).with_name("renamed.png"))
    for i in range(40):
        draw(Path(f"photos/dog/new{i}.png"), 1000 + i)
    shutil.copy(Path("photos", names(split, "train")[3]), "photos/cat/0000.png")
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if "changed since" in line]
    assert "cnnkit: photos: changed since the run was trained: 41 added (" in line
    assert f"1 removed (1 train; {gone}), 1 changed (1 test; {test[0]})" in line
    trained_on = {row.content for row in split.rows if row.part in ("train", "val")}
    assert not scored(run) & trained_on
    kept = {row.content for row in split.rows if row.part == "test" and row.path != test[0]}
    assert kept < scored(run)  # and new ones
    shutil.rmtree("data")
    ended = cli("test", "--config", str(run.config), "--ckpt_path", str(run.last))
    assert ended.err.count("changed since the run was trained: 41 added") == 1


def test_a_test_image_in_another_class_s_folder_is_named(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    cats = [name for name in names(split_of(run), "test") if name.startswith("cat/")]
    Path("photos", cats[0]).rename("photos/dog/moved.png")
    shutil.copy(Path("photos", names(split_of(run), "train")[0]), "photos/dog/copy.png")  # the cat stays
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0, ended.err
    assert ", 1 moved to another class (1 test; dog/moved.png)\n" in ended.err


def test_a_training_image_moved_to_test_is_not_scored(desk: Path, cli: Cli) -> None:
    split = split_of(find("runs/r"))
    for name in ("cat", "dog"):
        Path("photos/train").mkdir(exist_ok=True)
        Path("photos", name).rename(Path("photos/train", name))
        draw(Path("photos/test", name, "new.png"), 3000 + ord(name[0]))
    row = next(row for row in split.rows if row.part == "train")
    shutil.move(Path("photos/train", row.path), Path("photos/test", row.path))
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0, ended.err
    assert f"1 of 3 test images left out, being trained on by this run (test/{row.path})" in ended.err
    assert len(scored(find("runs/r"))) == 2


def test_a_run_goes_on_with_its_images_whatever_came_and_however_they_are_called(desk: Path, cli: Cli) -> None:
    assert cli("fit", *WORDS, "--name", "whole", "--trainer.max_epochs", "2").code == 0
    split = split_of(find("runs/r"))
    first, second = names(split, "train")[:2]
    Path("photos", first).rename(Path("photos", first).with_name("zz.png"))
    Path("photos", second).rename("photos/dog/aa.png")  # in another class's folder: the run knows its class
    draw(Path("photos/cat/0.png"), 77)
    ended = cli("fit", "--resume", "runs/r", "--trainer.max_epochs", "2")
    assert ended.code == 0, ended.err
    assert "changed since the run was trained: 1 added" in ended.err
    assert "1 moved to another class (1 train; dog/aa.png); a resumed run keeps their old class" in ended.err
    one, other = (torch.load(find(f"runs/{name}").last, weights_only=True)["state_dict"] for name in ("whole", "r"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_does_not_go_on_without_its_images(desk: Path, cli: Cli) -> None:
    (name,) = names(split_of(find("runs/r")), "val")[:1]
    Path("photos", name).write_bytes(Path("photos", names(split_of(find("runs/r")), "train")[0]).read_bytes())
    ended = cli("fit", "--resume", "runs/r", "--trainer.max_epochs", "2")
    assert ended.code == 2
    assert re.search(rf"photos: 1 of the images .* are gone: 1 changed \(1 val; {name}\); restore them", ended.err)


def test_classes_that_come_and_go_are_named(desk: Path, cli: Cli) -> None:
    for i in range(5):
        draw(Path(f"photos/ant/{i}.png"), 500 + i)
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0, ended.err
    assert "photos: ant: no class of this run (2 classes), so it is left out" in ended.err
    shutil.rmtree("photos/dog")
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 0, ended.err
    labels = load_predictions(find("runs/r").predictions).labels
    assert set(labels.tolist()) == {0}  # cat, although ant comes first
    assert cli("report", "--run", "runs/r").code == 0


@pytest.mark.parametrize("words", [["--data.test_size", "0.5"], ["--data.split_seed", "1"], ["--data.val_size", "3"]])
def test_a_run_keeps_its_split(words: list[str], desk: Path, cli: Cli) -> None:
    ended = cli("test", "--run", "runs/r", *words)
    assert ended.code == 2
    assert f"{words[0][2:]} is {words[1]}, but the run was trained with" in ended.err


def test_a_run_that_does_not_say_what_it_was_trained_on_is_not_scored(desk: Path, cli: Cli) -> None:
    run = find("runs/r")
    text = run.split.read_text()
    run.split.write_text(text[:-20])
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 2
    assert "split.json: is damaged" in ended.err
    run.split.unlink()
    ended = cli("test", "--run", "runs/r")
    assert ended.code == 2
    assert "is older and does not say which images it was trained on" in ended.err


def test_runs_are_compared_on_the_images_that_both_were_tested_on(desk: Path, cli: Cli) -> None:
    assert cli("test", "--run", "runs/r").code == 0
    before = scored(find("runs/r"))
    split = split_of(find("runs/r"))
    for i in range(30):
        draw(Path(f"photos/cat/{i}new.png"), 2000 + i)  # between the old ones: places change
    Path("photos", names(split, "test")[0]).unlink()
    assert cli("fit", *WORDS, "--name", "s", "--seed_everything", "1").code == 0
    assert cli("test", "--run", "runs/s").code == 0
    common = before & scored(find("runs/s"))
    assert len(before) - 1 == len(common)  # no image has changed its part
    ended = cli("compare", "runs/r", "runs/s", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["images"] == len(common)
    assert any(f"compared are the {len(common)} common ones" in note for note in found["notes"])
    for side, run in zip(found["sides"], ("runs/r", "runs/s"), strict=True):
        tested = load_predictions(find(run).predictions)
        assert tested.identity is not None
        chosen = [f"{value:016x}" in common for value in tested.identity.tolist()]
        assert side["accuracies"] == [pytest.approx(tested.correct[chosen].mean())]


def test_arrays_that_are_not_those_of_training(trained_once: RunFolder, cli: Cli) -> None:
    run = str(trained_once)
    ended = cli("validate", "--run", run, "--data.split_seed", "1")
    assert ended.code == 2
    assert "differ from its training, so images that it was trained on would validate it" in ended.err
