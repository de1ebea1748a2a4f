"""The images of a folder by part, with what is said about them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cnnkit.data.file_checks import cut_root
from cnnkit.notices import printable

PARTS = ("train", "val", "test")


class LabeledImage(NamedTuple):
    """A file that can be read.

    Args:
        file: its path.
        label: its class.
        content: hash of its bytes; 16 hex digits.
        group: name of the group, such as a patient, that must not be in two parts; empty if there is none.
    """

    file: Path
    label: int
    content: str
    group: str = ""


@dataclass
class FolderImages:
    """The images of a folder.

    Args:
        root: the folder.
        parts: train, val and test; a part without a folder is missing until its images are drawn.
        left_out: number of files that are in no part, by reason.
        copies: number of equal images, by kind.
        notices: sentences for the user.
        label_sets: with several labels an image, the classes that each number in `LabeledImage.label` stands for.
        label_names: the names of these sets.
        classes: the names of their classes.
        grouped_by: what the groups are; another kind of groups has another record of what was drawn.
    """

    root: Path
    parts: dict[str, list[LabeledImage]]
    left_out: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    label_sets: list[tuple[int, ...]] | None = None
    label_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    grouped_by: str = ""

    def list_label_sets(self, classes: int) -> list[tuple[int, ...]]:
        """The classes that each label stands for: itself, unless images have several labels."""
        return [(k,) for k in range(classes)] if self.label_sets is None else self.label_sets

    @property
    def images(self) -> list[LabeledImage]:
        """All of them, part by part."""
        return [image for images in self.parts.values() for image in images]


def format_path(file: Path, root: Path) -> str:
    """Format a file's path below the root as valid text."""
    return printable(cut_root(file, root))


def format_list(names: Iterable[object]) -> str:
    """Format the first three names as valid text.

    >>> format_list(["ant", "bee", "cat", "dog"])
    'ant, bee, cat ...'
    """
    names = list(names)
    return ", ".join(map(printable, names[:3])) + " ..." * (len(names) > 3)
