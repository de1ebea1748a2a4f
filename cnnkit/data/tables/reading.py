"""Read tables of images: a CSV or TSV file, a Parquet file, or a folder of Parquet shards, as the Hub has them."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnkit.data.folders.folder_images import PARTS, format_list
from cnnkit.data.folders.names import recognize_part
from cnnkit.data.tables.parquet import (
    Kind,
    explain_damage,
    find_kind,
    import_arrow,
    open_parquet,
    read_class_names,
)
from cnnkit.errors import UserError
from cnnkit.notices import printable

_BATCH = 256  # rows with bytes that are in memory at a time


@dataclass
class Table:
    """A table that is not read yet.

    Args:
        path: the file or folder.
        kinds: what the columns hold, by name.
        shards: the files, each with its part if its name says one.
        class_names: names of the classes of columns that have them in Hugging Face's metadata.
        rows: number of rows of each shard, once the columns were read.
    """

    path: Path
    kinds: dict[str, Kind]
    shards: list[tuple[Path, str | None]]
    class_names: dict[str, list[str]] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)

    @property
    def is_parquet(self) -> bool:
        """Whether the shards are Parquet files."""
        return self.shards[0][0].suffix.lower() == ".parquet"

    @property
    def folder(self) -> Path:
        """The folder of the table."""
        return self.path if self.path.is_dir() else self.path.parent

    def locate(self, row: int) -> str:
        """Name a row, counted from 0 over all shards, for a message.

        >>> Table(Path("a.csv"), {}, [(Path("a.csv"), None)], rows=[9]).locate(0)
        'row 1 (line 2)'
        """
        if not self.is_parquet:
            return f"row {row + 1} (line {self._lines[row] if self._lines else row + 2})"
        for (file, _), count in zip(self.shards, self.rows, strict=True):
            if row < count:
                return f"row {row + 1}" + (f" of {file.name}" if len(self.shards) > 1 else "")
            row -= count
        raise IndexError(row)

    def list_parts(self) -> list[str] | None:
        """The part of each row by the name of its file; None if the names say none."""
        if self.shards[0][1] is None:
            return None
        return [str(part) for (_, part), count in zip(self.shards, self.rows, strict=True) for _ in range(count)]

    def read(self, columns: Sequence[str]) -> dict[str, list[Any]]:
        """Read some columns; cells of a CSV file are text without spaces around it.

        Raises:
            UserError: the table is damaged.
        """
        if self.is_parquet:
            return self._read_parquet(columns)
        header, *lines = _read_csv(self.shards[0][0])
        self.rows, self._lines = [len(lines)], [number for number, _ in lines]
        places = [header[1].index(name) for name in columns]
        return {name: [cells[k] for _, cells in lines] for name, k in zip(columns, places, strict=True)}

    def iterate_bytes(self, column: str) -> Iterator[tuple[bytes | None, str | None]]:
        """Yield bytes and path of each cell of a column of binary values, or of structs of bytes and path."""
        for file, _ in self.shards:
            with open_parquet(file) as opened:
                try:
                    for batch in opened.iter_batches(_BATCH, columns=[column]):
                        for cell in batch.column(0).to_pylist():
                            yield (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
                except import_arrow().ArrowException as error:
                    raise explain_damage(file, error) from None

    def _read_parquet(self, columns: Sequence[str]) -> dict[str, list[Any]]:
        cells: dict[str, list[Any]] = {name: [] for name in columns}
        self.rows = []
        for file, _ in self.shards:
            with open_parquet(file) as opened:
                try:
                    found = opened.read(columns=list(columns))
                    self.rows.append(opened.metadata.num_rows)
                    for name in columns:
                        cells[name] += found.column(name).to_pylist()
                except (import_arrow().ArrowException, KeyError) as error:
                    raise explain_damage(file, error) from None
        return cells

    _lines: list[int] = field(default_factory=list, repr=False)


def open_table(path: Path) -> Table:
    """Find the files of a table and the names and kinds of its columns; no image is read.

    Raises:
        UserError: there is no such file, it is no table, or its shards do not fit together.
    """
    if path.is_dir():
        shards = _list_shards(path)
    elif not path.exists():
        raise UserError(f"{printable(path)}: no such file or folder; name a CSV or Parquet file as data.table")
    else:
        shards = [(path, None)]
    if shards[0][0].suffix.lower() == ".parquet":
        return _open_shards(path, shards)
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise UserError(f"{printable(path)}: not a CSV, TSV or Parquet file by its suffix; convert it to one")
    header = _read_csv(path)[0][1]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UserError(f"{printable(path)}: {format_list(twice)} stands twice in the first line; rename one column")
    return Table(path, dict.fromkeys(header, "text"), shards)


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path) -> list[tuple[int, list[str]]]:
    """Read all rows with their lines, the header first; the separator is a comma, or what the header has instead."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            comma = "\t" if path.suffix.lower() == ".tsv" or ("," not in first and "\t" in first) else ","
            comma = ";" if comma == "," and "," not in first and ";" in first else comma
            reader = csv.reader(file, delimiter=comma, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = "save it as UTF-8" if isinstance(error, UnicodeDecodeError) else "mend it"
        raise UserError(f"{printable(path)}: cannot be read as a table of UTF-8 text ({reason}); {remedy}") from None
    if len(rows) < 2:
        raise UserError(f"{printable(path)}: has no rows; its first line has the names of the columns")
    width = len(rows[0][1])
    if other := next(((line, cells) for line, cells in rows if len(cells) != width), None):
        raise UserError(
            f"{printable(path)}: line {other[0]} has {len(other[1])} cells, and the first line {width}; "
            "put cells with separators into quotes"
        )
    return rows


# ---- folders of Parquet files ----------------------------------------------------------------------------------------


def _list_shards(folder: Path) -> list[tuple[Path, str | None]]:
    """List the Parquet files of a folder, or of ``data/``, or of folders named after parts."""
    places = [folder, folder / "data", *sorted(p for p in folder.iterdir() if p.is_dir() and recognize_part(p.name))]
    files = [file for place in places if place.is_dir() for file in sorted(place.glob("*.parquet"))]
    if not files:
        raise UserError(
            f"{printable(folder)}: has no Parquet files; name a CSV file, a Parquet file or a folder of them"
        )
    shards = [(file, _find_part(file, folder)) for file in files]
    known = [file.name for file, part in shards if part is not None]
    if known and (unknown := [file.name for file, part in shards if part is None]):
        raise UserError(
            f"{printable(folder)}: {format_list(known)} say their part, {format_list(unknown)} not; "
            "begin each name with train, validation or test, or move the others"
        )
    return shards


def _find_part(file: Path, folder: Path) -> str | None:
    word = re.match(r"[A-Za-z]+(?![A-Za-z])", file.name)
    names = [word[0] if word else "", *([file.parent.name] if file.parent not in (folder, folder / "data") else [])]
    return next((part for part in map(recognize_part, names) if part in PARTS), None)


def _open_shards(path: Path, shards: list[tuple[Path, str | None]]) -> Table:
    kinds: dict[str, Kind] = {}
    class_names: dict[str, list[str]] = {}
    for file, _ in shards:
        with open_parquet(file) as opened:
            schema = opened.schema_arrow
        here = {name: find_kind(schema.field(name).type) for name in schema.names}
        names = read_class_names(schema.metadata or {})
        if file != shards[0][0] and (here, names) != (kinds, class_names):
            raise UserError(
                f"{printable(file)}: has other columns or classes than {printable(shards[0][0].name)}; "
                "keep the shards of one data set in a folder of their own"
            )
        kinds, class_names = here, names
    return Table(path, kinds, shards, class_names)
