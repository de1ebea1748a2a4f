"""Each row of the table of layouts in docs/data.md, made and read."""

import codecs
import os
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from cnnkit.data import ImageFolder
from cnnkit.data.folders.names import recognize_part
from cnnkit.errors import UserError
from cnnkit.notices import printable

DOCUMENT = Path(__file__).parents[3] / "docs/data.md"


class Layout(NamedTuple):
    holds: list[str]
    read_as: str
    said: list[str]


def table() -> list[Layout]:
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = text.partition("<!-- layouts -->")[2].partition("<!-- /layouts -->")[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Layout(re.findall("`([^`]+)`", a), b, re.findall("`([^`]+)`", c)) for a, b, c in cells]


def draw_image(file: str) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(os.fsencode(file))).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "png")


def make(root: Path, holds: list[str]) -> None:
    """Folders get images of their own; names with a slash are empty folders, with a suffix files, with -> links."""
    for escaped in holds:
        name = os.fsdecode(codecs.decode(escaped, "unicode_escape").encode("latin-1"))
        path = f"{root}/{name}"
        if " -> " in name:
            Path(root, name.partition(" -> ")[0]).symlink_to(name.partition(" -> ")[2])
        elif name.endswith("/"):
            Path(path).mkdir(parents=True)
        elif re.search(r"\.(jpg|png)$", name):
            draw_image(path)
        elif re.search(r"\.(csv|txt)$", name):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("words")
        else:
            for i in range(6):
                draw_image(f"{path}/{i}.png")


def read(root: Path, **options: object) -> ImageFolder:
    data = ImageFolder(str(root), 6, num_workers=0, data_dir=str(root.parent / "data"), **options)  # type: ignore[arg-type]
    data.setup()
    return data


@pytest.mark.parametrize("row", table(), ids=lambda row: " ".join(row.holds)[:60])
def test_a_layout_is_read_or_refused_as_documented(
    row: Layout, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "photos"
    make(root, row.holds)
    if row.read_as == "refused":
        with pytest.raises(UserError) as refusal:
            read(root)
        said = str(refusal.value)
        assert said.count("\n") <= 2
    else:
        data = read(root)
        names, _, parts = row.read_as.partition(": ")
        assert data.class_names == tuple(names.split(", "))
        assert set(data.layout.folders) == set((parts or "train").split(", "))
        facts = data.describe()
        assert all(facts[f"{part}_images"] for part in ("train", "val", "test"))
        said = capfd.readouterr().err
        assert bool(said) == bool(row.said), said
    for words in row.said:
        assert words in said


def test_the_table_has_both_kinds() -> None:
    rows = table()
    assert len(rows) > 35
    assert sum(row.read_as == "refused" for row in rows) > 15


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(
            (name, "train")
            for name in ("train", "TRAIN", "Training", "train-images", "Train Set", "trainset", "train2017")
        ),
        *((name, "val") for name in ("val", "Valid", "validation_set", "DEV")),
        *((name, "test") for name in ("test", "Testing", "seg_test", "test1", "evaluation")),
        *((name, None) for name in ("strain", "testosterone", "my_train", "trains", "latest", "images", "valley", "1")),
    ],
)
def test_names_of_parts(name: str, part: str | None) -> None:
    assert recognize_part(name) == part


def test_a_part_named_as_the_folder_says_what_is_beside_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "photos", ["train/cat", "train/dog", "test/cat", "test/dog"])
    read(tmp_path / "photos/train")
    assert f"not used: test beside it; name {tmp_path / 'photos'} as data.root" in capfd.readouterr().err


def test_a_zip_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"photos\.zip: is a file, not a folder; unpack it"):
        read(tmp_path / "photos.zip")
    with pytest.raises(UserError, match=r"nowhere: cannot list the folder \(No such file"):
        read(tmp_path / "nowhere")


def test_names_of_classes_are_kept_as_valid_text_and_printed_safely(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make(
        tmp_path / "photos",
        ["train/two\\nlines", "train/dog", "val/two\\nlines", "train/cafe\\xcc\\x81", "val/caf\\xc3\\xa9"],
    )
    draw_image(f"{tmp_path}/photos/train/\N{CAT FACE}/0.png")
    make(tmp_path / "photos", ["stray\\n.png"])
    data = read(tmp_path / "photos")
    assert data.class_names == ("café", "dog", "two\nlines", "\N{CAT FACE}")
    names = data.preprocessing()["class_names"]
    assert "".join(names).encode("utf-8")
    assert all(line.startswith("cnnkit: ") for line in capfd.readouterr().err.splitlines())
    assert printable("a\x1b[31m\nb") == "a\\x1b[31m\\nb"


def test_two_spellings_of_one_class_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "photos", ["cafe\\xcc\\x81", "caf\\xc3\\xa9", "dog"])
    with pytest.raises(UserError, match="two class folders are called café"):
        read(tmp_path / "photos")
    make(tmp_path / "letters", ["a", "A"])  # which are two classes
    assert read(tmp_path / "letters").class_names == ("A", "a")


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_that_cannot_be_read_is_not_replaced(part: str, tmp_path: Path) -> None:
    make(tmp_path / "photos", ["train/cat", "train/dog"])
    for name in ("cat", "dog"):
        (tmp_path / "photos" / part / name).mkdir(parents=True)
        (tmp_path / "photos" / part / name / "broken.jpg").write_text("x")
    with pytest.raises(UserError, match=rf"{part}: none of the images can be read; mend them, or remove the folder"):
        read(tmp_path / "photos", on_bad_image="skip")
