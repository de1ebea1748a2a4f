"""The folder that a run leaves behind. Standard library only: reading runs must not cost an import of torch.

runs/<name>/<when>-<id>/
  config.yaml      fit --config config.yaml repeats the run
  manifest.json    what was run on what, and what came out
  metrics.csv      one row a logged step
  test_predictions.safetensors   probabilities of every test image, written by `test` alone
  events.out.*     TensorBoard
  checkpoints/     best.ckpt, last.ckpt
"""

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cnnkit.errors import UserError

ROOT = "runs"


@contextlib.contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write: beside the target, flushed to the disk, then renamed into place; nothing on an error.

    Args:
        path: the target.
        mode: ``w`` for text, ``wb`` for bytes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # File names may hold bytes that are no UTF-8; they are written as they are.
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        with temporary.open(mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a whole text file or none of it."""
    with replacing(path) as file:
        file.write(text)


class RunFolder:
    """A run's files by name.

    Args:
        path: the folder; see `create`, `find` and `latest` for how to come by one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """The logged numbers, a row a step."""
        return self.path / "metrics.csv"

    @property
    def manifest_file(self) -> Path:
        """What was run on what, and what came out."""
        return self.path / "manifest.json"

    @property
    def predictions(self) -> Path:
        """What `test` predicted for every test image."""
        return self.path / "test_predictions.safetensors"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation score; the last one if nothing was validated."""
        best = self.checkpoints / "best.ckpt"
        return best if best.exists() else self.last

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    def manifest(self) -> dict[str, Any]:
        """The manifest, or an empty dict where there is none yet.

        Raises:
            UserError: if the file is no JSON.
        """
        try:
            found: dict[str, Any] = json.loads(self.manifest_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except json.JSONDecodeError as error:
            raise UserError(f"{self.manifest_file}: not a manifest ({error}); delete it or name another run") from None
        return found

    def update_manifest(self, **entries: Any) -> None:
        """Set entries of the manifest; dicts are merged one level deep, None removes an entry."""
        manifest = self.manifest()
        for key, value in entries.items():
            merge = isinstance(value, dict) and isinstance(manifest.get(key), dict)
            manifest[key] = {**manifest[key], **value} if merge else value
        manifest = {key: value for key, value in manifest.items() if value is not None}
        write_atomically(self.manifest_file, json.dumps(manifest, indent=2) + "\n")

    def discard(self) -> None:
        """Remove what a run writes before its first step, and the folder and its parents as far as they are empty."""
        for file in (self.config, self.manifest_file, self.metrics, *self.path.glob("events.out.tfevents.*")):
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

    Raises:
        UserError: if the name is no plain file name, or the folder cannot be made.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", name):
        raise UserError(f"name is {name!r}: use at most 64 letters, digits, '.', '_' and '-'")
    while True:
        path = Path(root) / name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not path.is_dir():  # a file stands where a folder should be
                raise UserError(f"{path.parent}: a file is in the way of the run folder; move it") from None
            continue
        except OSError as error:
            raise UserError(
                f"{path.parent}: cannot make the run folder ({error.strerror}); "
                "set trainer.default_root_dir to a folder you can write to"
            ) from None
        return RunFolder(path)


def find(path: str | Path) -> RunFolder:
    """The run at ``path``, or the newest of the runs below it.

    Raises:
        UserError: if there is none.
    """
    path = Path(path)
    if (path / "config.yaml").is_file():
        return RunFolder(path)
    if not path.exists():
        raise UserError(f"{path}: no such run folder; `ls {ROOT}` shows those there are")
    below = sorted(path.glob("**/config.yaml"), key=lambda file: file.stat().st_mtime)
    if not below:
        raise UserError(f"{path}: not a run folder (it has no config.yaml), nor are there any below it")
    return RunFolder(below[-1].parent)
