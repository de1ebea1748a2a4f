"""The file in a run folder that keeps the part of each image, so that no training image is ever scored.

It has the part, class, content and path of each image, in the order of the data module's arrays. Standard library only.
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
        settings: the settings of the split: ``val_size`` and so on.
        class_names: in the order of the labels.
        rows: the images.
    """

    settings: dict[str, Any]
    class_names: list[str]
    rows: list[RunImage] = field(default_factory=list)

    def digest(self) -> str:
        """Hash the images to train and to validate on, by content and class, to sixteen hex digits."""
        rows = sorted((row.part, row.class_name, row.content) for row in self.rows if row.part in ("train", "val"))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the file atomically, one line an image."""
        head = json.dumps({"version": VERSION, **{k: v for k, v in asdict(self).items() if k != "rows"}})
        with replacing(path) as file:
            file.write(head[:-1] + ', "rows": [\n')
            file.write(",\n".join(json.dumps(row) for row in self.rows))
            file.write("\n]}\n")


def read_split(path: Path) -> RunSplit | None:
    """Read the images of a run; None if there is no such file, as for a run without image files.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return RunSplit(content["settings"], content["class_names"], [RunImage(*row) for row in content["rows"]])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: is damaged, so it is unknown which images the run was trained on; restore it from a backup, or "
            "train again"
        ) from None


@dataclass
class FollowedRun:
    """A run whose split a data module keeps.

    Args:
        split: its images.
        exact: train and validate on exactly these images, for a resumed run; else new images are added to the parts.
    """

    split: RunSplit
    exact: bool


_followed: ContextVar[FollowedRun | None] = ContextVar("followed", default=None)


@contextlib.contextmanager
def follow_split(path: Path | None, exact: bool = False) -> Iterator[None]:
    """Make data modules of image files that are built within this context keep the split of a run.

    Args:
        path: the run's file; if it is None or missing, there is no split to keep.
        exact: see `FollowedRun`.
    """
    split = read_split(path) if path is not None else None
    token = _followed.set(FollowedRun(split, exact) if split else None)
    try:
        yield
    finally:
        _followed.reset(token)


def get_followed_run() -> FollowedRun | None:
    """Return the run whose split a new data module keeps; see `follow_split`."""
    return _followed.get()
