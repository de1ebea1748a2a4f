"""Recognize the layout of a folder of images: which folders are train, val and test, and which are classes.

Public data sets come in many layouts. A layout with exactly one interpretation is recognized, and one line says how it
is read; any other is refused. docs/data.md has the table. Train and test are never taken for classes.
"""

from dataclasses import dataclass, field
from pathlib import Path

from cnnkit.data.folders.folder_images import PARTS, format_list
from cnnkit.data.folders.names import (
    BESIDE_CLASSES,
    CONTAINERS,
    guess_classes,
    match_names,
    mend_name,
    recognize_part,
)
from cnnkit.data.folders.walk import (
    check_folder,
    descend,
    has_images,
    is_flat,
    list_folders,
    list_images,
    list_upward_links,
    skip_wrapper_folders,
)
from cnnkit.errors import UserError
from cnnkit.notices import printable

_TABLES = (".csv", ".tsv", ".parquet")  # that `cnnkit.data.ImageTable` reads
_REMEDY = "put the images of each class into a folder of its own"


@dataclass
class Layout:
    """A folder with a recognized layout.

    Args:
        root: the folder.
        classes: the class folders of each part by class name; ``train`` is always there.
        folders: the folder of each part.
        unlabeled: a folder of test images without classes, or None.
        notes: parts of a line for the user.
    """

    root: Path
    classes: dict[str, dict[str, Path]] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    unlabeled: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted(self.classes["train"]))


def recognize_layout(root: Path) -> Layout:
    """Recognize a layout by the names of folders and by which of them hold image files; no image is read.

    Raises:
        UserError: the folder is missing, has no classes, or has more than one interpretation.
    """
    check_folder(root)
    layout = Layout(root)
    top = descend(root)
    if back := list_upward_links(top):
        layout.notes.append(f"passed over, for being a link back to a folder above: {format_list(back)}")
    by_part: dict[str, list[Path]] = {}
    others = []
    for folder in list_folders(top):
        part = recognize_part(folder.name)
        by_part.setdefault(part, []).append(folder) if part else others.append(folder)
    if not set(by_part) & set(PARTS):
        _take_classes(layout, top, others)
        _note_unused(layout, by_part.get("unlabeled", []))
    elif set(by_part) == {"train"} and is_flat(by_part["train"][0]) and any(map(has_images, others)):
        _take_classes(layout, top, list_folders(top))
        layout.notes.append(f"{by_part['train'][0].name} is taken for a class, as it has no folders of classes")
    else:
        _take_parts(layout, top, by_part, others)
    return layout


# ---- classes in one folder -------------------------------------------------------------------------------------------


def _take_classes(layout: Layout, top: Path, folders: list[Path]) -> None:
    """``top/<class>/*``."""
    _refuse_if_no_classes(top, folders, top)
    _check_inner_folders(layout, folders)
    layout.classes["train"], layout.folders["train"] = _name_classes(layout, top, folders), top
    if top != layout.root:
        layout.notes.append(f"the classes are those of {printable(top)}")
    if stray := [file.name for file in list_images(top)]:
        layout.notes.append(f"not used, for being in no class: {format_list(stray)}")
    if recognize_part(top.resolve().name) and (beside := _list_parts_beside(top)):
        layout.notes.append(f"not used: {format_list(beside)} beside it; name {top.parent} as data.root to use them")


def _check_inner_folders(layout: Layout, classes: list[Path]) -> None:
    """Refuse ``cat/train`` and ``cat/test``, whose test images would be trained on; note what else all classes hold."""
    first, *others = classes
    common = {inner.name for inner in list_folders(first)}
    for folder in others:
        if not common:
            return
        common &= {inner.name for inner in list_folders(folder)}
    names = sorted(common)
    if part := next((n for n in names if recognize_part(n) in ("train", "test") and has_images(first / n)), None):
        raise UserError(
            f"{printable(layout.root)}: each class has a folder {printable(part)}, but parts of the data stand above "
            f"the classes; move {printable(first / part)} to {printable(first.parent / part / first.name)}, and so on"
        )
    if len(names) > 1:
        layout.notes.append(f"each class holds the folders {format_list(names)}, which are taken for no classes")


def _refuse_if_no_classes(top: Path, folders: list[Path], tables: Path) -> None:
    """Refuse a folder without two classes; the reason names tables of labels in the folder `tables`."""
    flat, where, beside = list_images(top), printable(top), _describe_tables(tables)
    if wrong := [f.name for f in folders if f.name.casefold() in BESIDE_CLASSES | CONTAINERS]:
        images = [file for folder in folders for file in list_images(folder)]
        raise UserError(
            f"{where}: {format_list(wrong)} hold {len(images):,} images and are no classes{beside}; "
            f"{_suggest_classes(images)}"
        )
    if flat and not any(map(has_images, folders)):
        raise UserError(
            f"{where}: {len(flat):,} images ({printable(flat[0].name)} ...) without class folders{beside}; "
            f"{_suggest_classes(flat)}"
        )
    if len(folders) < 2:
        one = f" ({printable(folders[0].name)})" if folders else ""
        raise UserError(f"{where}: {len(folders)} class folders{one}{beside}; {_REMEDY}")


def _name_classes(layout: Layout, top: Path, folders: list[Path]) -> dict[str, Path]:
    """Map the names of classes to their folders."""
    named: dict[str, Path] = {}
    for folder in folders:
        name = mend_name(folder.name)
        if name in named:
            raise UserError(
                f"{printable(top)}: two class folders are called {printable(name)}, spelled with different bytes; "
                "put their images into one"
            )
        named[name] = folder
        if any("\udc80" <= character <= "\udcff" for character in folder.name):
            layout.notes.append(f"{printable(folder.name)} is not UTF-8 and is taken for {printable(name)}")
    return named


def _list_parts_beside(top: Path) -> list[str]:
    return [
        f.name for f in list_folders(top.resolve().parent) if recognize_part(f.name) and f.name != top.resolve().name
    ]


# ---- folders of parts ------------------------------------------------------------------------------------------------


def _take_parts(layout: Layout, top: Path, by_part: dict[str, list[Path]], others: list[Path]) -> None:
    """``top/train/<class>/*``, with or without val and test."""
    where = printable(top)
    for part, folders in by_part.items():
        if part in PARTS and len(folders) > 1:
            raise UserError(
                f"{where}: {format_list([f.name for f in folders])} could each be {part}; leave one of them"
            )
    held = [folder for folder in others if has_images(folder)]
    found = ", ".join(printable(folder.name) for folder in list_folders(top))
    if "train" not in by_part or (held and len(by_part) == 1):
        named = format_list([folder.name for folders in by_part.values() for folder in folders])
        part = f"call {format_list([folder.name for folder in held])} val or test if it is a part"
        remedy = part if "train" in by_part else f"put the classes into {printable(top / 'train')}"
        raise UserError(
            f"{where}: has {found}: parts of the data beside classes, or classes of such names; {remedy}, or rename "
            f"the folder if {named} is a class"
        )
    paths = {part: skip_wrapper_folders(by_part[part][0], deep=part == "train") for part in PARTS if part in by_part}
    folders = list_folders(paths["train"])
    _refuse_if_no_classes(paths["train"], folders, top)
    layout.classes["train"], layout.folders["train"] = _name_classes(layout, paths["train"], folders), paths["train"]
    for part in ("val", "test"):
        if part in paths:
            _take_part(layout, part, paths[part])
    if any(path != layout.root / part for part, path in layout.folders.items()):
        layout.notes[:0] = [f"{part} from {printable(path)}" for part, path in layout.folders.items()]
    _note_unused(layout, others + by_part.get("unlabeled", []))


def _take_part(layout: Layout, part: str, folder: Path) -> None:
    """Take the class folders of val or test; a test folder without classes is for `predict`."""
    names = _name_classes(layout, folder, list_folders(folder))
    match = match_names(names, layout.classes["train"])
    alone = len(names) == 1 and not any(match.values())  # such as test/unknown
    if is_flat(folder) or (alone and part == "test"):
        if part == "val":
            raise UserError(
                f"{printable(folder)}: images without class folders cannot validate; {_REMEDY}, or remove the folder"
            )
        layout.unlabeled = folder
        return
    layout.classes[part], layout.folders[part] = {}, folder
    for name, path in names.items():
        known = match[name]
        if known is None:
            raise UserError(
                f"{printable(path)}: there is no such class in train ({format_list(layout.class_names)}); "
                "rename or remove the folder"
            )
        if known in layout.classes[part]:
            raise UserError(f"{printable(path)}: a second folder of the class {printable(known)}; put them into one")
        if known != name:
            layout.notes.append(f"{part}/{printable(name)} is the class {printable(known)}")
        layout.classes[part][known] = path


def _note_unused(layout: Layout, folders: list[Path]) -> None:
    if folders:
        names = format_list([folder.name for folder in folders])
        layout.notes.append(f"not used, for being beside the classes or parts: {names}")


# ---- messages --------------------------------------------------------------------------------------------------------


def _suggest_classes(files: list[Path]) -> str:
    if words := guess_classes(files):
        return f"their names begin with {format_list(words)}: {_REMEDY}"
    return _REMEDY


def _describe_tables(folder: Path) -> str:
    """Name the tables of labels in a folder, and what reads them."""
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in _TABLES)
    if not tables:
        return ""
    names = format_list([path.name for path in tables])
    return f" beside {names}, which --data ImageTable reads (--data.table {printable(tables[0])})"
