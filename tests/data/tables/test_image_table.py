"""Images in tables: the same pixels, labels and parts for files and bytes, and nothing is left out silently."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_tables import draw_png, write_csv, write_hub_parquet, write_images

from cnnkit.data import ImageFolder, ImageTable
from cnnkit.data.tables import embedded
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError

Make = Callable[..., ImageTable]
COUNT = 40


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


def test_integers_as_pandas_writes_them_beside_empty_cells_are_integers(tmp_path: Path, table: Make) -> None:
    names = write_images(tmp_path, 30)
    labels = [("0.0", "10.0", "2.0")[i % 3] for i in range(30)]
    assert table(write_csv(tmp_path / "rows.csv", {"path": names, "label": labels})).class_names == ("0", "2", "10")
    several = [("0.0", "10.0;2.0", "2.0")[i % 3] for i in range(30)]
    data = table(write_csv(tmp_path / "several.csv", {"path": names, "label": several}), label_separator=";")
    assert data.class_names == ("0", "2", "10")
    versions = [("1.0", "1.5")[i % 2] for i in range(30)]
    assert table(write_csv(tmp_path / "names.csv", {"path": names, "label": versions})).class_names == ("1.0", "1.5")
