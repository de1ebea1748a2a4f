"""The rows of a table as labeled image files, with their part and group."""

import os
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from cnnkit.data.file_checks import EarlyImages, check_files
from cnnkit.data.folders.assignment import SplitSettings
from cnnkit.data.folders.checked_images import OnBadImage, refuse_or_skip
from cnnkit.data.folders.contents import DEFAULT_SIZE
from cnnkit.data.folders.folder_images import PARTS, FolderImages, LabeledImage, format_list
from cnnkit.data.folders.names import recognize_part
from cnnkit.data.folders.run_split import RunSplit
from cnnkit.data.tables.columns import Columns, describe_columns
from cnnkit.data.tables.embedded import write_images
from cnnkit.data.tables.labels import JOINT, UNKNOWN, read_labels, refuse_missing
from cnnkit.data.tables.reading import Table
from cnnkit.errors import UserError
from cnnkit.notices import printable, say


class TableSource:
    """The rows of a table, as an `ImageSource`.

    Args:
        table: the table.
        columns: which columns are used.
        folder: of the files that it names.
        embedded: folder for images that are bytes in the table.
        separator: between labels, see `read_labels`.
        run: a run whose classes are used.

    Raises:
        UserError: a cell is missing or not clear, or a group is in two parts.
    """

    def __init__(
        self,
        table: Table,
        columns: Columns,
        folder: Path,
        embedded: Path,
        separator: str | None = None,
        run: RunSplit | None = None,
    ) -> None:
        self.table, self.columns, self.folder, self.embedded, self.root = table, columns, folder, embedded, table.path
        optional = [name for name in (columns.split, columns.group) if name is not None]
        paths = [columns.image] if table.kinds[columns.image] == "text" else []
        cells = table.read(list(dict.fromkeys([*columns.labels, *optional, *paths])))
        self.rows = len(cells[columns.labels[0]])
        self.paths = cells[columns.image] if paths else None
        if self.paths is not None:
            refuse_missing(table, "image", self.paths)
        self.notes = [describe_columns(table, columns)]
        self.labels = read_labels(table, columns, cells, separator)
        self._refuse_other_labels()
        self._use_classes_of(run)
        self.parts = self._read_parts(cells)
        self.groups = self._read_groups(cells)
        if self.parts is not None:
            self._refuse_spanning_groups(self.parts)
            if run is None and "train" not in self.parts:
                raise UserError(f"{printable(table.path)}: no row is of the part train; one must be trained on")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.labels.class_names

    @property
    def own_parts(self) -> Container[str]:
        """The parts that the table says."""
        return set(self.parts or ()) - {"train"}

    @property
    def label_sets(self) -> list[tuple[int, ...]]:
        """The different sets of labels, those of a run first."""
        return list(self._set_numbers)

    def report(self, settings: SplitSettings) -> None:
        """See `ImageSource`."""
        for note in filter(None, self.notes):
            say(note)
        for part in ("val", "test"):
            if part in self.own_parts and (size := settings.get_size(part)) != DEFAULT_SIZE:
                say(f"{self.root}: data.{part}_size {size} is not read, as the table says which images these are")

    def read(
        self, max_pixels: int, on_bad_image: OnBadImage, records: Path, complete: bool, early: EarlyImages | None
    ) -> FolderImages:
        """See `ImageSource`."""
        files = self._find_files(strict=on_bad_image == "error")
        checks = check_files(self.root, files, max_pixels, records.with_name("tables"), early)
        result = FolderImages(self.root, {part: [] for part in dict.fromkeys(["train", *(self.parts or ())])})
        result.grouped_by = self.columns.group or ""
        if self.labels.multilabel:
            result.label_sets, result.classes = self.label_sets, self.class_names
            result.label_names = tuple(map(self._join_names, self.label_sets))
        for row, (file, check) in enumerate(zip(files, checks, strict=True)):
            labels = self.labels.sets[row]
            if not check.fault and labels != UNKNOWN:
                label = self._set_numbers[labels] if self.labels.multilabel else labels[0]
                image = LabeledImage(file, label, check.sha256, self.groups[row] if self.groups else "")
                result.parts[self.parts[row] if self.parts else "train"].append(image)
            if (
                self.paths is None
                and file.parent.parent == self.embedded
                and not check.fault
                and check.sha256 != file.stem
            ):
                raise UserError(f"{printable(file)}: was changed since it was copied from {self.root}; delete it")
        faulty = [(row, check.fault) for row, check in enumerate(checks) if check.fault]
        faults = [f"{printable(files[row])} in {self.table.locate(row)}: {fault}" for row, fault in faulty]
        refuse_or_skip(result, faults, len(checks), on_bad_image)
        if complete:
            self._refuse_absent_classes(result)
        return result

    def explain_untrained(self, name: str) -> str:
        """See `ImageSource`."""
        return (
            f"{printable(self.root)}: all images of the class {printable(name)} are in val or test, so none is left to "
            "train on; move some rows, or remove the class"
        )

    def explain_no_test(self, followed: bool) -> str:
        """See `ImageSource`."""
        trained = " that the run was not trained on" if followed else ""
        other = "" if followed else ", or set data.test_size"
        return f"{self.root}: there are no test images; add rows{trained} with the split test{other}"

    # ---- cells -----------------------------------------------------------------------------------------------------

    def _use_classes_of(self, run: RunSplit | None) -> None:
        classes = run.settings.get("classes") if run is not None else None
        sets = [self._split_names(name, classes) for name in run.class_names] if run is not None and classes else []
        if run is not None and bool(classes) is not self.labels.multilabel:
            raise UserError(
                f"{printable(self.root)}: has {'several labels' if self.labels.multilabel else 'one label'} an image, "
                "and the run was trained otherwise; give it the table with which it was trained"
            )
        if run is not None and (new := self.labels.rename(classes or run.class_names)):
            self.notes.append(f"{self.root}: {format_list(new)}: no class of this run, so these rows are left out")
        sets += sorted(set(self.labels.sets) - {*sets, UNKNOWN})
        self._set_numbers = {labels: number for number, labels in enumerate(sets)}

    def _refuse_other_labels(self) -> None:
        """Refuse a path that is in two rows with different labels, as in tables with a row for each label."""
        first: dict[str, int] = {}
        for row, path in enumerate(self.paths or ()):
            other = first.setdefault(path, row)
            if self.labels.sets[row] != self.labels.sets[other]:
                raise UserError(
                    f"{printable(self.root)}: {printable(path)} has one label in {self.table.locate(other)} and "
                    f"another in {self.table.locate(row)}; keep one, or put all labels of an image into one row"
                )

    def _join_names(self, labels: Sequence[int]) -> str:
        return JOINT.join(self.class_names[k] for k in labels)

    @staticmethod
    def _split_names(joined: str, class_names: Sequence[str]) -> tuple[int, ...]:
        return tuple(class_names.index(name) for name in joined.split(JOINT)) if joined else ()

    def _read_parts(self, cells: dict[str, list[Any]]) -> list[str] | None:
        by_name = self.table.list_parts()
        if self.columns.split is None:
            return by_name
        if by_name is not None:
            raise UserError(
                f"{printable(self.root)}: the names of its files say the parts, and so does column "
                f"{printable(self.columns.split)}; set data.split_column to none to go by the files"
            )
        values = cells[self.columns.split]
        refuse_missing(self.table, "split", values)
        known = {value: recognize_part(value) for value in dict.fromkeys(values)}
        if other := [value for value, part in known.items() if part not in PARTS]:
            raise UserError(
                f"{printable(self.root)}: the split {printable(other[0])}, first in "
                f"{self.table.locate(values.index(other[0]))}, is neither train nor val nor test; rename it, or set "
                "data.split_column to none"
            )
        return [str(known[value]) for value in values]

    def _read_groups(self, cells: dict[str, list[Any]]) -> list[str] | None:
        if self.columns.group is None:
            return None
        values = cells[self.columns.group]
        refuse_missing(self.table, "group", values, "give each row one, or set data.group_column to none")
        return [str(value) for value in values]

    def _refuse_spanning_groups(self, parts: Sequence[str]) -> None:
        found: dict[str, set[str]] = {}
        for group, part in zip(self.groups or (), parts, strict=False):
            found.setdefault(group, set()).add(part)
        if spanning := {group: held for group, held in found.items() if len(held) > 1}:
            group, held = next(iter(spanning.items()))
            names = " and ".join(part for part in PARTS if part in held)
            raise UserError(
                f"{printable(self.root)}: {len(spanning):,} of {len(found):,} groups ({self.columns.group}) are in "
                f"several parts: {printable(group)} in {names}"
                + (f"; also {format_list(list(spanning)[1:])}" if len(spanning) > 1 else "")
                + "; put each into one part, or set data.group_column to none"
            )

    # ---- files -----------------------------------------------------------------------------------------------------

    def _find_files(self, strict: bool) -> list[Path]:
        if self.paths is not None:
            files = [self.folder / str(path) for path in self.paths]
        else:
            found = write_images(self.table, self.columns.image, self.embedded)
            refuse_missing(self.table, "image", [file or path for file, path in found])
            files = [file or self.folder / str(path) for file, path in found]
        missing = [row for row, file in enumerate(files) if not file.exists()] if strict else []
        if missing:
            foreign = "\\" in str(files[missing[0]]) and os.sep != "\\"  # a path of Windows
            remedy = "write / for \\ in the paths" if foreign else "set data.root to their folder"
            raise UserError(
                f"{printable(self.root)}: {len(missing):,} of {len(files):,} image files are missing, the first is "
                f"{printable(files[missing[0]])} in {self.table.locate(missing[0])}; {remedy}, "
                "or remove the rows"
            )
        return files

    def _refuse_absent_classes(self, result: FolderImages) -> None:
        sets = result.list_label_sets(len(self.class_names))
        present = {label for image in result.parts["train"] for label in sets[image.label]}
        if absent := [name for k, name in enumerate(self.class_names) if k not in present]:
            raise UserError(
                f"{printable(self.root)}: no image to train on has the class {format_list(absent)}; add some, or "
                "remove the class"
            )
