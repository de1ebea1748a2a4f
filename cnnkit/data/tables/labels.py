"""Turn the cells of label columns into classes: one class an image, or several."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnnkit.data.folders.folder_images import format_list
from cnnkit.data.tables.columns import Columns
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError
from cnnkit.notices import printable

JOINT = "|"  # between the classes of an image, in the names of label sets
UNKNOWN = (-1,)  # labels of a row that has another class than those of a run
_TRUE, _FALSE = {"1", "1.0", "true"}, {"0", "0.0", "false"}


@dataclass
class Labels:
    """The labels of all rows.

    Args:
        class_names: sorted; numbers by their value; those of Hugging Face's metadata in their order.
        sets: the classes of each row, in the order of their labels.
        multilabel: whether a row may have none or several.
    """

    class_names: tuple[str, ...]
    sets: list[tuple[int, ...]]
    multilabel: bool

    def rename(self, class_names: Sequence[str]) -> list[str]:
        """Use the classes of a run; rows with another class get `UNKNOWN` in place of their set.

        Returns:
            The names of the other classes.
        """
        places = {name: k for k, name in enumerate(class_names)}
        new = [name for name in self.class_names if name not in places]
        here = [places.get(name, -1) for name in self.class_names]
        renamed = [tuple(sorted(here[k] for k in row)) for row in self.sets]
        self.sets = [UNKNOWN if -1 in row else row for row in renamed]
        self.class_names = tuple(class_names)
        return new


def read_labels(table: Table, columns: Columns, cells: Mapping[str, Sequence[Any]], separator: str | None) -> Labels:
    """Read the labels of all rows.

    Args:
        table: for messages and the names of classes.
        columns: which columns hold labels.
        cells: of these columns.
        separator: between the labels of a cell of text; None: a cell is one label.

    Raises:
        UserError: a label is missing, of an unknown class, or not clear.
    """
    if columns.a_column_a_class:
        return _read_flags(table, columns.labels, cells)
    name = columns.labels[0]
    values = list(cells[name])
    if table.kinds[name] == "list":
        return _read_lists(table, name, values)
    refuse_missing(table, "label", values)
    if separator:
        return _read_lists(table, name, [[part.strip() for part in str(cell).split(separator)] for cell in values])
    texts = _without_zeros([_as_name(table, row, cell) for row, cell in enumerate(values)])
    if (
        separator is None
        and (joint := next((row for row, text in enumerate(texts) if JOINT in text), None)) is not None
    ):
        raise UserError(
            f"{printable(table.path)}: the label {printable(texts[joint])} in {table.locate(joint)} has a {JOINT}: set "
            f"data.label_separator to '{JOINT}' for several labels an image, or to '' if it is part of the name"
        )
    class_names = _name_classes(table, name, texts)
    places = _list_places(table, name, class_names)
    return Labels(class_names, [(places(row, text),) for row, text in enumerate(texts)], False)


def hot_labels(sets: Sequence[tuple[int, ...]], classes: int) -> Tensor:
    """Return sets of labels as float32 (N, K): 1 for the classes of a set, else 0.

    >>> hot_labels([(0, 2), ()], 3)
    tensor([[1., 0., 1.],
            [0., 0., 0.]])
    """
    hot = torch.zeros(len(sets), classes)
    rows = [row for row, labels in enumerate(sets) for _ in labels]
    hot[rows, [label for labels in sets for label in labels]] = 1
    return hot


def refuse_missing(table: Table, what: str, cells: Sequence[Any], remedy: str = "fill or remove these rows") -> None:
    """Refuse empty cells with a `UserError` that has their number and the first row."""
    missing = [row for row, cell in enumerate(cells) if is_missing(cell)]
    if missing:
        raise UserError(
            f"{printable(table.path)}: {len(missing):,} of {len(cells):,} rows have no {what}, the first is "
            f"{table.locate(missing[0])}; {remedy}"
        )


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty: None, no text, NaN, or what pandas writes for these."""
    return cell is None or cell in ("", "nan", "NaN", "<NA>") or (isinstance(cell, float) and math.isnan(cell))


def _as_name(table: Table, row: int, cell: Any) -> str:
    if isinstance(cell, float):
        if not cell.is_integer():
            raise UserError(
                f"{printable(table.path)}: the label {cell} in {table.locate(row)} is no class: give names or integers"
            )
        cell = int(cell)
    return str(cell).strip()


def _without_zeros(texts: list[str]) -> list[str]:
    """Write integers as such: pandas writes a column of integers that ever had an empty cell as 0.0, 2.0, 10.0."""
    if all(re.fullmatch(r"-?\d+(\.0+)?", text) for text in texts):
        return [text.partition(".")[0] for text in texts]
    return texts


def _name_classes(table: Table, column: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Name the classes: by the metadata, else all labels that occur, numbers by their value."""
    if column in table.class_names:
        return tuple(table.class_names[column])
    names = sorted(set(texts))
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        names.sort(key=int)
        if -1 in map(int, names):
            row = next(row for row, text in enumerate(texts) if int(text) == -1)
            raise UserError(
                f"{printable(table.path)}: the label -1, first in {table.locate(row)}, usually means none; "
                "remove these rows, or write another label"
            )
    if len(names) < 2:
        raise UserError(
            f"{printable(table.path)}: column {printable(column)} has only the label {format_list(names)}; "
            "a classifier needs two classes"
        )
    return tuple(names)


def _list_places(table: Table, column: str, class_names: Sequence[str]) -> Callable[[int, str], int]:
    """Return a function that maps row and label to the number of the class."""
    places = {name: k for k, name in enumerate(class_names)}
    numbered = column in table.class_names and table.kinds[column] in ("number", "list")

    def find(row: int, text: str) -> int:
        if numbered and re.fullmatch(r"\d+", text) and int(text) < len(class_names):
            return int(text)
        if text in places:
            return places[text]
        hidden = ", as in test sets without labels: remove these rows" if text == "-1" else ""
        raise UserError(
            f"{printable(table.path)}: the label {printable(text)} in {table.locate(row)} is none of the "
            f"{len(class_names)} classes in its metadata{hidden}"
        )

    return find


def _read_lists(table: Table, column: str, values: Sequence[Any]) -> Labels:
    refuse_missing(table, "labels", values, "fill or remove these rows; an empty list means none of the classes")
    texts = [[_as_name(table, row, each) for each in cell] for row, cell in enumerate(values)]
    flat = iter(_without_zeros([text for names in texts for text in names]))
    texts = [[next(flat) for _ in names] for names in texts]
    if (empty := next((row for row, names in enumerate(texts) if "" in names), None)) is not None:
        raise UserError(f"{printable(table.path)}: {table.locate(empty)} has an empty label among others; mend it")
    class_names = _name_classes(table, column, [text for names in texts for text in names])
    places = _list_places(table, column, class_names)
    sets = [tuple(sorted({places(row, text) for text in names})) for row, names in enumerate(texts)]
    return check_names(table, Labels(class_names, sets, True))


def _read_flags(table: Table, columns: Sequence[str], cells: Mapping[str, Sequence[Any]]) -> Labels:
    found: list[list[int]] = [[] for _ in cells[columns[0]]]
    for k, name in enumerate(columns):
        refuse_missing(table, f"value for {printable(name)}", cells[name])
        for row, cell in enumerate(cells[name]):
            text = str(cell).strip().casefold()
            if text not in _TRUE | _FALSE:
                raise UserError(
                    f"{printable(table.path)}: {printable(name)} is {printable(cell)} in {table.locate(row)}: "
                    "a column for a class has 0 and 1; name one column as data.label_column if it has names"
                )
            if text in _TRUE:
                found[row].append(k)
    return check_names(table, Labels(tuple(columns), [tuple(row) for row in found], True))


def check_names(table: Table, labels: Labels) -> Labels:
    """Refuse classes with the sign that joins names, and classes that no row has."""
    if wrong := [name for name in labels.class_names if JOINT in name]:
        raise UserError(
            f"{printable(table.path)}: the class {printable(wrong[0])} has a {JOINT} in its name; rename it"
        )
    return labels
