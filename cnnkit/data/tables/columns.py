"""Which column of a table holds what: by an argument, or by its usual name if there is only one such column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cnnkit.data.folders.folder_images import format_list
from cnnkit.data.tables.parquet import Kind
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError
from cnnkit.notices import printable
from cnnkit.suggest import suggest

AUTO, NONE = "auto", "none"
_USUAL = {
    "image": (
        *("image", "images", "img", "path", "paths", "file", "files", "filename", "file_name", "filepath"),
        *("file_path", "image_path", "img_path", "image_file", "image_filename", "image_name"),
    ),
    "label": ("label", "labels", "class", "classes", "class_name", "target", "targets", "category", "categories"),
    "split": ("split", "set", "part", "partition", "subset"),
    "group": (
        *("group", "groups", "group_id", "patient", "patient_id", "patientid", "subject", "subject_id", "person"),
        *("person_id", "camera", "camera_id", "video", "video_id", "scene", "scene_id", "site", "site_id"),
    ),
}
_KINDS: dict[str, tuple[Kind, ...]] = {
    "image": ("bytes", "text"),
    "label": ("text", "number", "list"),
    "split": ("text",),
    "group": ("text", "number"),
}


@dataclass(frozen=True)
class Columns:
    """The columns that are used.

    Args:
        image: paths or bytes.
        labels: one column of labels, or one column for each class.
        split: parts, or None.
        group: groups, or None.
        detected: the columns that no argument names, by their meaning.
    """

    image: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None
    detected: dict[str, str]

    @property
    def a_column_a_class(self) -> bool:
        """Whether each class has a column of 0 and 1."""
        return len(self.labels) > 1


def choose_columns(
    table: Table, image: str, label: str | Sequence[str], split: str | None, group: str | None
) -> Columns:
    """Choose the columns by the arguments, and by the usual names where an argument is ``auto``.

    Raises:
        UserError: a column is missing or of another kind, or several could be meant.
    """
    labels = [label] if isinstance(label, str) else list(label)
    named = {name for name in (image, *labels, split, group) if name not in (AUTO, NONE, None)}
    detected: dict[str, str] = {}

    def choose(what: str, asked: str | None, optional: bool = False) -> str | None:
        if asked is None or (asked == NONE and optional and NONE not in table.kinds):
            return None
        if asked != AUTO or AUTO in table.kinds:
            return _check(table, what, asked)
        found = _detect(table, what, named)
        if found is not None:
            detected[what] = found
        elif not optional:
            raise UserError(
                f"{printable(table.path)}: has no column with a usual name for {what}s "
                f"({', '.join(_USUAL[what][:4])}, ...); set data.{what}_column to one of {format_list(table.kinds)}"
            )
        return found

    pixels = str(choose("image", image))
    if len(labels) == 1:
        chosen: tuple[str, ...] = (str(choose("label", labels[0])),)
    else:
        if len(set(labels)) != len(labels) or not labels:
            raise UserError(f"label_column is {labels}: give one column, or different ones, each for a class")
        chosen = tuple(_check(table, "label", name) for name in labels)
    columns = Columns(pixels, chosen, choose("split", split, True), choose("group", group, True), detected)
    used = [columns.image, *columns.labels, columns.split, columns.group]
    if twice := sorted({name for name in used if name is not None and used.count(name) > 1}):
        raise UserError(f"{printable(table.path)}: column {printable(twice[0])} cannot serve for two things; name two")
    return columns


def describe_columns(table: Table, columns: Columns) -> str:
    """Say in one line which columns were detected; empty if none."""
    parts = [f"{what}s from {printable(name)}" for what, name in columns.detected.items()]
    return f"{printable(table.path)}: by the usual names of columns, {', '.join(parts)}" if parts else ""


def _detect(table: Table, what: str, named: set[str]) -> str | None:
    usual = [n for n in table.kinds if _fold(n) in _USUAL[what] and n not in named and table.kinds[n] in _KINDS[what]]
    if what == "image":
        binary = [name for name, kind in table.kinds.items() if kind == "bytes" and name not in named]
        usual = [name for name in usual if name in binary] or (binary if len(binary) == 1 else usual)
    if len(usual) > 1:
        raise UserError(
            f"{printable(table.path)}: columns {format_list(usual)} could each hold the {what}s; "
            f"set data.{what}_column to one of them" + (f", or to {NONE}" if what in ("split", "group") else "")
        )
    return usual[0] if usual else None


def _fold(name: str) -> str:
    """Such as ``image_path`` of ``Image Path``."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def _check(table: Table, what: str, name: str) -> str:
    if name not in table.kinds:
        raise UserError(f"{what}_column is {name}: {printable(table.path)} has no such column{_hint(table, name)}")
    if table.kinds[name] not in _KINDS[what]:
        kinds = " or ".join({"text": "text", "number": "numbers", "list": "lists"}.get(k, k) for k in _KINDS[what])
        raise UserError(
            f"{what}_column is {name}: it holds {table.kinds[name]} values, and {what}s are {kinds}; name another"
        )
    return name


def _hint(table: Table, name: str) -> str:
    return suggest(name, table.kinds) or f"; it has {format_list(table.kinds)}"
