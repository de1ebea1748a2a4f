"""The files of a run by name, and new folders for new runs."""

import contextlib
import datetime
import json
import re
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnkit.errors import UserError
from cnnkit.files import open_regular, write_atomically
from cnnkit.runs.lock import LOCK, NOTE, hold_lock

ROOT = "runs"
STAMP = re.compile(r"(\d{8}-\d{6})-[0-9a-f]+")
_FORMAT = "%Y%m%d-%H%M%S"


class RunFolder:
    """A run's files by name.

    Args:
        path: the folder; `create`, `find`, `choose_finished` and `choose_resumable` return one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"  # the resolved configuration
        self.split = path / "split.json"  # of a folder of images: which files train, validate and test
        self.metrics = path / "metrics.csv"  # the logged numbers, a row a step
        self.manifest_file = path / "manifest.json"  # settings, machine and results
        self.predictions = path / "test_predictions.safetensors"  # of `test`, for every test image
        self.test_classes = path / "test_classes.csv"  # of `test`, a row a class
        self.checkpoints = path / "checkpoints"
        self.last = self.checkpoints / "last.ckpt"  # the newest checkpoint

    def __str__(self) -> str:
        return str(self.path)

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation score; the last one if nothing was validated.

        Raises:
            UserError: if the run has validated, but its best checkpoint is gone: the last one has other scores.
        """
        path = self.locate_best()
        if path != self.last and not path.exists() and self.last.exists():
            raise UserError(
                f"{path}: is gone, though the run has validated; name {self.last} if its last epoch will do"
            )
        return path

    def locate_best(self) -> Path:
        """Return where `best` is, or was."""
        path = self.checkpoints / "best.ckpt"
        return path if path.exists() or self.manifest_if_readable().get("best") else self.last

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty dict where there is none yet.

        Raises:
            UserError: if the file cannot be read, or is no JSON object.
        """
        try:
            return self._load_manifest()
        except OSError as error:
            raise UserError(f"{self.manifest_file}: cannot be read ({error.strerror}); name another run") from None
        except ValueError as error:
            raise UserError(f"{error}; delete it or name another run") from None

    def manifest_if_readable(self) -> dict[str, Any]:
        """The manifest, or an empty dict if there is none or it cannot be read."""
        try:
            return self.manifest()
        except UserError:
            return {}

    def _load_manifest(self) -> dict[str, Any]:
        try:
            with open_regular(self.manifest_file) as stream:
                found = json.load(stream)
        except FileNotFoundError:
            return {}
        except UserError:  # no file
            raise
        except (ValueError, RecursionError) as error:  # of JSON, or bytes that are no text
            raise ValueError(f"{self.manifest_file}: not a manifest ({error})") from None
        if not isinstance(found, dict):
            raise ValueError(f"{self.manifest_file}: not a manifest (no mapping)")
        return found

    @contextlib.contextmanager
    def edit_manifest(self) -> Iterator[dict[str, Any]]:
        """The manifest, to change in place; it is written at the end of the block, by one process at a time.

        A damaged one is kept as ``manifest.json.damaged``. A missing folder is made again. Entries that are None are
        left out.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / ".manifest.lock"
        busy = f"{lock}: another process has held it for a minute; stop that process"
        with hold_lock(lock, lambda: busy, seconds=60):
            try:
                manifest = self._load_manifest()
            except ValueError as error:
                manifest = {}
                aside = self.manifest_file.with_name("manifest.json.damaged")
                self.manifest_file.replace(aside)
                print(f"{error}; kept as {aside.name}, a new one is written", file=sys.stderr)
            yield manifest
            kept = {key: value for key, value in manifest.items() if value is not None}
            write_atomically(self.manifest_file, json.dumps(kept, indent=2) + "\n")

    def update_manifest(self, **entries: Any) -> None:
        """Set entries of the manifest; dicts are merged one level deep, None removes an entry."""
        with self.edit_manifest() as manifest:
            for key, value in entries.items():
                merge = isinstance(value, dict) and isinstance(manifest.get(key), dict)
                manifest[key] = {**manifest[key], **value} if merge else value

    def discard(self) -> None:
        """Remove the files that a run writes before its first checkpoint, and its folders if they are empty."""
        names = (LOCK, NOTE, ".manifest.lock", "config.yaml", "manifest.json", "split.json", "metrics.csv")
        for file in (*(self.path / name for name in names), *self.path.glob("events.out.tfevents.*")):
            file.unlink(missing_ok=True)
        for folder in (self.checkpoints, self.path, self.path.parent, self.path.parent.parent):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return


def create(root: str | Path, name: str) -> RunFolder:
    """Make a new folder below ``root/name``; two runs at once never get the same one.

    Folders sort by their names in the order in which they were made, even if the clock was set back in between.

    Raises:
        UserError: if the name is no plain file name, or the folder cannot be made.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", name):
        raise UserError(f"name is {name!r}: use at most 64 letters, digits, '.', '_' and '-'")
    while True:
        parent = Path(root) / name
        try:
            path = parent / f"{_stamp_after(parent)}-{secrets.token_hex(2)}"
            parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not path.is_dir():  # a file stands where a folder should be
                raise UserError(f"{parent}: a file is in the way of the run folder; move it") from None
            continue
        except OSError as error:
            raise UserError(
                f"{parent}: cannot make the run folder ({error.strerror}); "
                "set trainer.default_root_dir to a folder you can write to"
            ) from None
        return RunFolder(path)


def _stamp_after(parent: Path) -> str:
    """The time now; a second after the newest run of the name, if that lies in the future."""
    now = time.strftime(_FORMAT)
    stamps = (STAMP.fullmatch(path.name) for path in parent.glob("*"))
    newest = max((stamp[1] for stamp in stamps if stamp), default="")
    if newest <= now:
        return now
    with contextlib.suppress(ValueError, OverflowError):  # eight digits that are no date
        return (datetime.datetime.strptime(newest, _FORMAT) + datetime.timedelta(seconds=1)).strftime(_FORMAT)
    return now


def count_look(manifest: dict[str, Any]) -> None:
    """Enter one more look at the test images: each can lead to a choice."""
    looks = manifest.get("test_looks", 0)
    manifest["test_looks"] = looks + 1 if isinstance(looks, int) else 1
