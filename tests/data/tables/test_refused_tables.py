"""Tables that are not clear or not complete are refused in one line that names the place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_tables import draw_png, write_csv, write_hub_parquet, write_images

from cnnkit.data import ImageTable
from cnnkit.errors import UserError

Make = Callable[..., ImageTable]


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


def test_a_label_that_metadata_do_not_name_is_refused(tmp_path: Path, table: Make) -> None:
    rows = [{"bytes": draw_png(i), "path": None} for i in range(4)]
    path = write_hub_parquet(tmp_path / "rows.parquet", rows, [0, 1, -1, 0], ["a", "b"])
    with pytest.raises(UserError, match=r"the label -1 in row 3 is none of the 2 classes.*without labels"):
        table(path)
