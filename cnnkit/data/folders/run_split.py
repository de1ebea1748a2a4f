"""Which images a run was trained on, kept in its folder: so that they are never scored, and changes are noticed.

The file names each image's part, class, content and path, in the order of the data module's arrays. Standard library
only.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cnnkit.errors import UserError
from cnnkit.files import replacing

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
