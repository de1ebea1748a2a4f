"""Equal images of a folder share a part; the parts that the data module sees."""

from collections.abc import Callable
from pathlib import Path

import pytest
from data.folders.test_folder_parts import PARTS, assign, content, photos, sides
from made_folders import files_of, fill

from cnnkit.data import ImageFolder
from cnnkit.data.folders.assignment import SplitSettings, assign_parts
from cnnkit.data.folders.folder_images import FolderImages, LabeledImage
from cnnkit.data.folders.run_split import RunImage, RunSplit
from cnnkit.errors import UserError

# ---- equal images ----------------------------------------------------------------------------------------------------


def test_copies_share_a_part_and_are_counted_and_named(tmp_path: Path) -> None:
    files = photos(tmp_path, a=20, b=20)
    for i in range(20):
        files[tmp_path / f"photos/a/again{i}.png"] = 0, content(("a", i))
    files[tmp_path / "photos/b/x.png"] = 1, content(("a", 3))
    result = assign(files, tmp_path)
    assert result.copies == {"one class": 20, "several classes": 1}
    assert result.notices == [
        "equal images: 20 in one class (a/0.png = a/again0.png ...; they share a part), "
        "1 in several classes (a/3.png = b/x.png; one of the classes is wrong: remove that file)"
    ]


def test_a_training_image_that_is_a_test_image_too_is_not_trained_on(tmp_path: Path) -> None:
    own = {
        part: [LabeledImage(tmp_path / part / f"{i}.png", i % 2, content((part, i))) for i in range(10)]
        for part in PARTS
    }
    own["train"] += [image._replace(file=tmp_path / f"train/t{i}.png") for i, image in enumerate(own["test"][:3])]
    own["train"] += [image._replace(file=tmp_path / f"train/v{i}.png") for i, image in enumerate(own["val"][:2])]
    own["val"] += [image._replace(file=tmp_path / f"val/t{i}.png") for i, image in enumerate(own["test"][:1])]
    images = FolderImages(tmp_path, own)
    result = assign_parts(images, SplitSettings(0.1, 0.1, 0), tmp_path / "splits", ["a", "b"], None)
    assert {part: len(images) for part, images in result.parts.items()} == {"train": 10, "val": 10, "test": 10}
    assert result.left_out == {"train: in val or test as well": 5, "val: in test as well": 1}
    assert "5 of 15 training images left out, being in val or test as well (train/t0.png ...)" in result.notices


def test_what_a_run_learnt_from_is_in_no_folder_that_scores_it(tmp_path: Path) -> None:
    rows = [RunImage(part, "a", content((part, i)), f"a/{part}{i}.png") for part in PARTS for i in range(4)]
    trained = RunSplit({}, ["a", "b"], rows)
    everything = [LabeledImage(tmp_path / row.path, 0, row.content) for row in rows]
    new = [LabeledImage(tmp_path / "new.png", 1, content("new"))]
    own = {"train": new, "val": everything, "test": [*everything, *new]}
    images = FolderImages(tmp_path, own)
    found = sides(assign_parts(images, SplitSettings(0.1, 0.1, 0), tmp_path / "splits", ["a", "b"], trained))
    assert found["test"] == {content(("test", i)) for i in range(4)} | {content("new")}
    assert not found["val"] & {row.content for row in rows if row.part != "val"}


# ---- through the data module -----------------------------------------------------------------------------------------


def test_one_folder_is_split_stratified_and_nothing_is_in_two_parts(folder: Callable[..., ImageFolder]) -> None:
    parts = files_of(folder(val_size=12, test_size=6))
    assert {part: len(files) for part, files in parts.items()} == {"train": 42, "val": 12, "test": 6}
    assert len({file for files in parts.values() for file in files}) == 60
    for part, per_class in {"val": [2, 6, 4], "test": [1, 3, 2]}.items():
        assert [sum(file.startswith(name) for file in parts[part]) for name in ("blue", "green", "red")] == per_class
    assert files_of(folder(val_size=12, test_size=6, seed=99)) == parts  # the run's seed changes no split
    assert files_of(folder(val_size=12, test_size=6, split_seed=1)) != parts
    half = files_of(folder(val_size=12, test_size=6, train_fraction=0.5))
    assert (half["val"], half["test"]) == (parts["val"], parts["test"])
    assert set(half["train"]) < set(parts["train"])
    assert len(half["train"]) == 21
    assert files_of(folder(val_size=5, test_size=6))["test"] == parts["test"]


@pytest.mark.parametrize("own", [("train",), ("train", "val"), ("train", "test"), ("train", "val", "test")])
def test_folders_of_parts_are_those_parts_and_the_others_come_from_train(own: tuple[str, ...], tmp_path: Path) -> None:
    for seed, part in enumerate(own):
        fill(tmp_path / "set" / part, {"red": 10 + seed, "blue": 10}, seed)
    data = ImageFolder(str(tmp_path / "set"), 8, val_size=4, test_size=4, data_dir=str(tmp_path))
    parts = files_of(data)
    assert data.class_names == ("blue", "red")
    for part in PARTS:
        assert {file.split("/")[0] for file in parts[part]} == {part if part in own else "train"}
    sizes = {"val": 21 if "val" in own else 4, "test": 20 + own.index("test") if "test" in own else 4}
    sizes["train"] = 20 - sum(sizes[part] for part in ("val", "test") if part not in own)
    assert {part: len(files) for part, files in parts.items()} == sizes
    facts = data.describe()
    assert facts["val_images"] == data.val_size == sizes["val"]
    assert {part: sum(classes.values()) for part, classes in facts["classes"].items()} == sizes
    for part, batches in {"val": data.val_dataloader(), "test": data.test_dataloader()}.items():
        labels = [label for batch in batches for label in batch.labels.tolist()]
        assert [data.class_names[label] for label in labels] == [file.split("/")[1] for file in parts[part]]


@pytest.mark.parametrize(
    "sizes", [{"val_size": 1.5}, {"test_size": -0.1}, {"test_size": 60}, {"val_size": 60}, {"test_size": -1}]
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, float], folder: Callable[..., ImageFolder]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(sizes))} is {next(iter(sizes.values()))}"):
        folder(**sizes).setup()


def test_a_size_of_a_part_that_has_its_folder_is_said_not_to_be_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for seed, part in enumerate(("train", "test")):
        fill(tmp_path / "set" / part, {"red": 10, "blue": 10}, seed)
    files_of(ImageFolder(str(tmp_path / "set"), 8, val_size=4, data_dir=str(tmp_path)))
    assert "is not read" not in capfd.readouterr().err
    files_of(ImageFolder(str(tmp_path / "set"), 8, val_size=4, test_size=5, data_dir=str(tmp_path)))
    assert f"set: data.test_size 5 is not read, as {tmp_path}/set/test has these images" in capfd.readouterr().err
