"""Images in tables: the same pixels, labels and parts for files and bytes, and nothing is left out silently."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_tables import draw_png, write_csv, write_hub_parquet, write_images

from cnnkit.data import ImageFolder, ImageTable
from cnnkit.data.tables import embedded
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError

Make = Callable[..., ImageTable]
COUNT = 40


@pytest.fixture
def table(tmp_path: Path) -> Make:
    def make(path: Path, **kwargs: Any) -> ImageTable:
        options = {"image_size": 8, "batch_size": 4, "num_workers": 0, "seed": 3, "data_dir": str(tmp_path / "data")}
        return ImageTable(str(path), **{**options, **kwargs})

    return make


def labels_of(count: int = COUNT) -> list[str]:
    return ["cat" if i % 2 else "dog" for i in range(count)]


def contents_by_part(data: ImageTable | ImageFolder) -> dict[str, set[str]]:
    data.setup()
    assert data.contents is not None
    return {part: {image.content for image in images} for part, images in data.contents.images.parts.items()}


def test_a_csv_file_has_the_pixels_and_parts_of_a_folder(tmp_path: Path, table: Make) -> None:
    names, labels = write_images(tmp_path / "all", COUNT), labels_of()
    for name, label in zip(names, labels, strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / label / name).write_bytes((tmp_path / "all" / name).read_bytes())
    data = table(write_csv(tmp_path / "all" / "rows.csv", {"path": names, "label": labels}))
    options = {"image_size": 8, "num_workers": 0, "data_dir": str(tmp_path / "data")}
    folder = ImageFolder(str(tmp_path / "photos"), **options)  # type: ignore[arg-type]
    assert contents_by_part(data) == contents_by_part(folder)
    assert data.class_names == folder.class_names == ("cat", "dog")
    images, of_folder = (each.test_dataloader().batch(0, 0) for each in (data, folder))
    order, other = images.images.flatten(1).sum(1).argsort(), of_folder.images.flatten(1).sum(1).argsort()
    assert torch.equal(images.images[order], of_folder.images[other])
    assert torch.equal(images.labels[order], of_folder.labels[other])


def test_bytes_in_parquet_are_decoded_as_files_are(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path / "files", COUNT)
    rows = [{"bytes": draw_png(i), "path": f"x/{name}"} for i, name in enumerate(names)]
    hub = table(write_hub_parquet(tmp_path / "hub.parquet", rows, [i % 2 for i in range(COUNT)], ["dog", "cat"]))
    file = table(write_csv(tmp_path / "files" / "rows.csv", {"file_name": names, "target": labels_of()}))
    assert hub.class_names == ("dog", "cat")  # the order of the metadata
    assert file.class_names == ("cat", "dog")
    assert contents_by_part(hub) == contents_by_part(file)
    for batch, of_file in zip(hub.val_dataloader(), file.val_dataloader(), strict=True):  # type: ignore[arg-type]
        assert torch.equal(batch.images, of_file.images)
        assert torch.equal(batch.labels, 1 - of_file.labels)


def test_shards_of_the_hub_say_their_part(tmp_path: Path, table: Make) -> None:
    for k, part in enumerate(("train", "train", "validation", "test")):
        rows = [{"bytes": draw_png(10 * k + i), "path": None} for i in range(6)]
        write_hub_parquet(tmp_path / "set" / "data" / f"{part}-{k:05}-of-2.parquet", rows, [0, 1] * 3, ["a", "b"])
    data = table(tmp_path / "set")
    assert {part: len(found) for part, found in contents_by_part(data).items()} == {"train": 12, "val": 6, "test": 6}
    assert data.describe()["classes"] == {part: {"a": n, "b": n} for part, n in (("train", 6), ("val", 3), ("test", 3))}


def test_a_struct_without_bytes_names_a_file(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path / "files", 12)
    rows = [{"bytes": None, "path": name} for name in names]
    path = write_hub_parquet(tmp_path / "rows.parquet", rows, ["a", "b"] * 6)
    assert sum(map(len, contents_by_part(table(path, root=str(tmp_path / "files"))).values())) == 12


def test_a_split_column_in_any_case_decides(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path, 12)
    split = ["Train"] * 6 + ["VALID"] * 2 + ["validation"] * 2 + ["Test"] * 2
    data = table(write_csv(tmp_path / "rows.tsv", {"path": names, "class": [1, 0] * 6, "Split": split}, "\t"))
    assert {part: len(found) for part, found in contents_by_part(data).items()} == {"train": 6, "val": 4, "test": 2}


def test_integers_are_in_the_order_of_their_values(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path, 12)
    data = table(write_csv(tmp_path / "rows.csv", {"path": names, "label": [10, 9, 2] * 4}, ";"))
    assert data.class_names == ("2", "9", "10")


def test_detected_columns_are_said(tmp_path: Path, table: Make, capsys: pytest.CaptureFixture[str]) -> None:
    names = write_images(tmp_path, 12)
    columns = {"Image Path": names, "category": ["a", "b"] * 6, "Patient-ID": range(12)}
    table(write_csv(tmp_path / "rows.csv", columns)).setup()
    said = capsys.readouterr().err
    assert "images from Image Path, labels from category, groups from Patient-ID" in said
    assert said.count("by the usual names") == 1


REFUSED: dict[str, tuple[dict[str, list[Any]], dict[str, Any], str]] = {
    "empty label": (
        {"path": [], "label": ["a", "", "b", "nan"]},
        {},
        "2 of 4 rows have no label, the first is row 2 (line 3)",
    ),
    "empty path": ({"path": ["0.png", "", "2.png", "3.png"], "label": ["a", "b"] * 2}, {}, "1 of 4 rows have no image"),
    "missing files": (
        {"path": ["0.png", "x.png", "y.png", "3.png"], "label": ["a", "b"] * 2},
        {},
        "2 of 4 image files are missing, the first is",
    ),
    "paths of Windows": (
        {"path": ["photos\\0.png", "photos\\1.png"], "label": ["a", "b"]},
        {},
        "set data.root to their folder" if os.sep == "\\" else "write / for \\ in the paths",
    ),
    "two labels": ({"path": [], "label": ["a"] * 4, "class": ["b"] * 4}, {}, "label, class could each hold the labels"),
    "no label": ({"path": [], "x": ["a"] * 4}, {}, "set data.label_column to one of path, x"),
    "unknown column": ({"path": [], "label": ["a", "b"] * 2}, {"label_column": "lable"}, "did you mean label?"),
    "one class": ({"path": [], "label": ["a"] * 4}, {}, "only the label a"),
    "unknown part": (
        {"path": [], "label": ["a", "b"] * 2, "split": ["train", "test", "holdout", "train"]},
        {},
        "holdout",
    ),
    "no training rows": (
        {"path": [], "label": ["a", "b"] * 2, "split": ["test"] * 4},
        {},
        "no row is of the part train",
    ),
    "no split": (
        {"path": [], "label": ["a", "b"] * 2, "split": ["train", "", "", "test"]},
        {},
        "2 of 4 rows have no split",
    ),
    "spanning": (
        {"path": [], "label": ["a", "b"] * 2, "split": ["train", "test"] * 2, "patient": ["p", "p", "q", "r"]},
        {},
        "1 of 3 groups (patient) are in several parts: p in train and test",
    ),
    "bars": ({"path": [], "label": ["a|b", "b", "a", "a"]}, {}, "set data.label_separator"),
    "minus one": ({"path": [], "label": ["0", "1", "-1", "0"]}, {}, "the label -1, first in row 3 (line 4)"),
    "absent class": (
        {"path": [], "label": ["a", "a", "a", "b"], "split": ["train"] * 3 + ["test"]},
        {},
        "no image to train on has the class b",
    ),
    "flags": ({"path": [], "a": ["0", "1", "2", "0"], "b": ["0"] * 4}, {"label_column": ["a", "b"]}, "a is 2 in row 3"),
    "a row for each label": (
        {"path": ["0.png", "1.png", "0.png", "3.png"], "label": ["a", "b", "b", "a"]},
        {},
        "0.png has one label in row 1 (line 2) and another in row 3 (line 4)",
    ),
    "one for two": (
        {"path": [], "label": ["a", "b"] * 2},
        {"label_column": "label", "group_column": "label"},
        "cannot serve for two things",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_missing_or_not_clear_is_refused_in_one_line(tmp_path: Path, table: Make, case: str) -> None:
    columns, options, expected = REFUSED[case]
    columns = {**columns, "path": columns["path"] or write_images(tmp_path, 4)}
    write_images(tmp_path, 4)
    with pytest.raises(UserError) as caught:
        table(write_csv(tmp_path / "rows.csv", columns), **options).setup()
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.csv", b"", "has no rows"),
        ("rows.csv", b"path,label\n", "has no rows"),
        ("rows.csv", b"path,label\na.png,a,b\n", "line 2 has 3 cells, and the first line 2"),
        ("rows.csv", b"path,label\n\xff\xfe,a\n", "cannot be read as a table.*; save it as UTF-8"),
        ("rows.csv", b"path,path\na,b\n", "path stands twice"),
        ("rows.parquet", b"PAR1", "cannot be read as a Parquet file"),
        ("rows.xlsx", b"", "not a CSV, TSV or Parquet file"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, table: Make, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=expected):
        table(tmp_path / name)


def test_unreadable_images_are_refused_or_skipped_and_counted(
    tmp_path: Path, table: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"bytes": draw_png(i), "path": None} for i in range(12)]
    rows[4] = {"bytes": b"no image", "path": "broken.png"}
    path = write_hub_parquet(tmp_path / "rows.parquet", rows, ["a", "b"] * 6)
    with pytest.raises(UserError, match=r"row 5: not an image of a known format.*data.on_bad_image to skip"):
        table(path).setup()
    data = table(path, on_bad_image="skip")
    assert sum(map(len, contents_by_part(data).values())) == 11
    assert data.describe()["skipped_images"] == 1
    assert "1 of 12 images left out, the first" in capsys.readouterr().err


def test_a_label_that_metadata_do_not_name_is_refused(tmp_path: Path, table: Make) -> None:
    rows = [{"bytes": draw_png(i), "path": None} for i in range(4)]
    path = write_hub_parquet(tmp_path / "rows.parquet", rows, [0, 1, -1, 0], ["a", "b"])
    with pytest.raises(UserError, match=r"the label -1 in row 3 is none of the 2 classes.*without labels"):
        table(path)


def test_bytes_are_copied_once_and_again_only_if_the_table_or_a_copy_has_changed(
    tmp_path: Path, table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(first: int) -> Path:
        rows = [{"bytes": draw_png(first + i), "path": None} for i in range(12)]
        return write_hub_parquet(tmp_path / "rows.parquet", rows, ["a", "b"] * 6)

    monkeypatch.setattr(embedded, "_SETTLED", -(10**12))  # no waiting until the file is old
    before = contents_by_part(table(write(0)))
    reads: list[str] = []
    real = Table.iterate_bytes
    monkeypatch.setattr(Table, "iterate_bytes", lambda self, column: reads.append(column) or real(self, column))
    assert contents_by_part(table(tmp_path / "rows.parquet")) == before
    assert not reads
    copies = sorted((tmp_path / "data" / ".cnnkit" / "embedded").glob("??/*"))
    assert len(copies) == 12
    copies[0].unlink()
    assert contents_by_part(table(tmp_path / "rows.parquet")) == before
    assert len(reads) == 1
    copies[1].write_bytes(draw_png(99))
    with pytest.raises(UserError, match="was changed since it was copied"):
        table(tmp_path / "rows.parquet").setup()
    copies[1].unlink()
    assert not set.union(*before.values()) & set.union(*contents_by_part(table(write(100))).values())


def test_other_groups_have_another_record(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path, COUNT)
    columns = {
        "path": names,
        "label": labels_of(),
        "patient": [i // 4 for i in range(COUNT)],
        "room": [i % 10 for i in range(COUNT)],
    }
    path = write_csv(tmp_path / "rows.csv", columns)
    for column, group_of in (("patient", lambda i: i // 4), ("room", lambda i: i % 10)):
        data = table(path, group_column=column)
        data.setup()
        assert data.contents is not None
        parts = [{group_of(int(i.file.stem)) for i in images} for images in data.contents.images.parts.values()]
        assert sum(map(len, parts)) == 10
        assert [len(images) for images in data.contents.images.parts.values()] == [32, 4, 4]
