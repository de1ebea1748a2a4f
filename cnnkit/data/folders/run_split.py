"""Which images a run was trained on, kept in its folder: so that they are never scored, and changes are noticed.

The file names each image's part, class, content and path, in the order of the data module's arrays. Standard library
only.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import UserError
from cnnkit.files import replacing
from cnnkit.notices import printable

VERSION = 1


class RunImage(NamedTuple):
    """One image of a run.

    Args:
        part: train, val or test; ``rest`` if ``train_fraction`` leaves it out.
        class_name: its class.
        content: hash of the file.
        path: below the root, as valid text.
    """

    part: str
    class_name: str
    content: str
    path: str


@dataclass
class RunSplit:
    """The images of a run.

    Args:
        settings: what the split was drawn by: ``val_size`` and so on.
        class_names: in the order of the labels.
        rows: the images.
    """

    settings: dict[str, Any]
    class_names: list[str]
    rows: list[RunImage] = field(default_factory=list)

    def of(self, part: str) -> dict[str, bool]:
        """For every content whether the run has it in that part."""
        return {row.content: row.part == part for row in self.rows}

    def digest(self) -> str:
        """Sixteen hex digits of a SHA-256 over the images to train and to validate on, by content and class."""
        learnt = (row for row in self.rows if row.part in ("train", "val"))
        rows = sorted((row.part, row.class_name, row.content) for row in learnt)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all, a line an image."""
        head = json.dumps({"version": VERSION, **{k: v for k, v in asdict(self).items() if k != "rows"}})
        with replacing(path) as file:
            file.write(head[:-1] + ', "rows": [\n')
            file.write(",\n".join(json.dumps(row) for row in self.rows))
            file.write("\n]}\n")


def read_split(path: Path) -> RunSplit | None:
    """The images of a run; None where the run has no such file: its data are no image files.

    Raises:
        UserError: the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return RunSplit(found["settings"], found["class_names"], [RunImage(*row) for row in found["rows"]])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: damaged, so nobody knows which images the run was trained on; bring it back from a backup, or "
            "train again"
        ) from None


@dataclass
class FollowedRun:
    """A run whose images a data module keeps to.

    Args:
        split: its images.
        exact: train and validate on these very images, for a run that goes on; else new images are taken in as well.
    """

    split: RunSplit
    exact: bool


_followed: ContextVar[FollowedRun | None] = ContextVar("followed", default=None)


@contextlib.contextmanager
def follow_split(path: Path | None, exact: bool = False) -> Iterator[None]:
    """Data modules of image files that are built within it keep to the images of a run.

    Args:
        path: the run's file; None, or a file that is not there: nothing is followed.
        exact: see `FollowedRun`.
    """
    split = read_split(path) if path is not None else None
    token = _followed.set(FollowedRun(split, exact) if split else None)
    try:
        yield
    finally:
        _followed.reset(token)


def get_followed_run() -> FollowedRun | None:
    """What a data module that is being built shall keep to; see `follow_split`."""
    return _followed.get()


# ---- changes ---------------------------------------------------------------------------------------------------------


@dataclass
class Changes:
    """How a folder differs from what it was when a run began: parts and paths.

    Args:
        added: files whose content the run has not seen, or more copies of one that it has.
        removed: images whose content is gone.
        changed: images whose path now holds another content.
        relabeled: images that are in the folder of another class now.
        kept: images that are there, by whatever name.
    """

    added: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    changed: list[tuple[str, str]] = field(default_factory=list)
    relabeled: list[tuple[str, str]] = field(default_factory=list)
    kept: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.relabeled)

    def __str__(self) -> str:
        """Such as ``2 added (1 test, 1 train; cat/8.jpg ...), 1 removed (1 val; dog/1.jpg)``."""
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        kinds["moved to another class"] = self.relabeled
        return ", ".join(f"{len(rows):,} {kind} ({_summarize(rows)})" for kind, rows in kinds.items() if rows)


def _summarize(rows: Sequence[tuple[str, str]]) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in sorted(Counter(part for part, _ in rows).items()))
    return f"{counts}; {', '.join(path for _, path in rows[:3])}{' ...' * (len(rows) > 3)}"


def find_changes(split: RunSplit, present: Mapping[str, tuple[str, str]]) -> Changes:
    """Compare a run's images with those of a folder.

    Args:
        split: the run's.
        present: part and content of each path that is there.
    """
    changes = Changes()
    left = Counter(content for _, content in present.values())
    elsewhere, gone = [], []
    for row in split.rows:
        if present.get(row.path, ("", ""))[1] == row.content:
            left[row.content] -= 1
        else:
            elsewhere.append(row)
    for row in elsewhere:  # renamed, if there is a file too many with that content
        if left[row.content] > 0:
            left[row.content] -= 1
        else:
            gone.append(row)
    changes.kept = len(split.rows) - len(gone)
    for row in gone:
        (changes.changed if row.path in present else changes.removed).append((row.part, row.path))
    recorded = {row.path: row.content for row in split.rows}
    overwritten = {path for _, path in changes.changed}
    for path, (part, content) in present.items():
        if path not in overwritten and recorded.get(path) != content and left[content] > 0:
            left[content] -= 1
            changes.added.append((part, path))
    return changes


def format_path(file: Path, root: Path) -> str:
    """A file's path below the root as valid text."""
    return printable(file.relative_to(root).as_posix())
