"""By what a run is found again: its resolved configuration, the code that decides on its numbers, and its data."""

import hashlib
import inspect
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

import cnnkit
from cnnkit.errors import UserError
from cnnkit.run_folder import RunFolder
from cnnkit.run_folder.keys import WITHOUT_EFFECT

DECIDING = ("layers", "models", "transforms", "data", "tasks", "optim.py", "metrics.py", "precision.py", "weights.py")


def code_version(config: dict[str, Any]) -> str:
    """Twelve hex digits over cnnkit's files that decide on a run's numbers, and over the user's own that it names.

    Args:
        config: a resolved configuration, with the paths of its classes.
    """
    root = Path(inspect.getfile(cnnkit)).parent
    files = [file for part in DECIDING for file in sorted((root / part).rglob("*.py")) or [root / part]]
    digest = hashlib.sha256()
    for file in [*files, *sorted(set(_own_modules(config)))]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _own_modules(config: Any) -> Iterator[Path]:
    """Files of the modules below the working folder that the configuration takes classes from."""
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _own_modules(value)
    path = config.get("class_path") if isinstance(config, dict) else None
    if isinstance(path, str) and re.fullmatch(r"\w+(\.\w+)+", path) and not path.startswith("cnnkit."):
        try:
            spec = find_spec(path.rpartition(".")[0])
        except (ImportError, ValueError, AttributeError):
            return
        origin = Path((spec and spec.origin) or "/").resolve()
        if origin.is_relative_to(Path.cwd()) and "site-packages" not in origin.parts:
            yield origin


def identity(config: dict[str, Any], code: str, data: dict[str, Any], *, any_precision: bool = False) -> str:
    """Sixteen hex digits that two runs share if and only if they compute the same.

    Args:
        config: a resolved configuration, as config.yaml holds it.
        code: see `code_version`.
        data: the manifest's facts about the data; ``fingerprint`` and ``split`` count.
        any_precision: leave the precision out of it.
    """
    kept = json.loads(json.dumps(config, default=str))
    for key in (*WITHOUT_EFFECT, *(["trainer.precision"] if any_precision else [])):
        _drop(kept, key.split("."))
    facts = [kept, code, data.get("fingerprint"), data.get("split")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _drop(config: Any, names: list[str]) -> None:
    """Remove a key, which may stand among the ``init_args`` of the class above it."""
    for place in (config, config.get("init_args")) if isinstance(config, dict) else ():
        if isinstance(place, dict) and names[0] in place:
            if len(names) == 1:
                del place[names[0]]
            else:
                _drop(place[names[0]], names[1:])
            return


class Found:
    """A run folder that is there, with what tells it from others.

    Args:
        run: the folder.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        try:
            self.manifest = run.manifest()
            self.config: dict[str, Any] = yaml.safe_load(run.config.read_text(encoding="utf-8")) or {}
        except (UserError, OSError, yaml.YAMLError):  # cut off while it was made
            self.manifest, self.config = {}, {}

    def is_the_one(
        self, config: dict[str, Any], code: str, data: dict[str, Any], *, any_precision: bool = False
    ) -> bool:
        """Whether it is a run of this configuration, code and data; in whatever precision, if that is allowed."""
        if not self.config or self.manifest.get("code") != code:
            return False
        mine = identity(self.config, code, self.manifest.get("data") or {}, any_precision=any_precision)
        return mine == identity(config, code, data, any_precision=any_precision)

    @property
    def precision(self) -> str:
        """What it was computed in; empty if nobody knows."""
        return str((self.manifest.get("precision") or {}).get("value", ""))

    @property
    def state(self) -> str:
        """``done`` (trained and tested), ``trained``, ``failed``, ``resumable``, or ``nothing`` to go on from."""
        status = self.manifest.get("status")
        if status == "finished":
            return "done" if "test" in self.manifest else "trained"
        if status == "failed":
            return "failed"
        return "resumable" if self.run.last.exists() else "nothing"


def runs_in(folder: Path) -> list[Found]:
    """The runs of one variant, the newest first."""
    places = sorted((p for p in folder.glob("*") if (p / "config.yaml").is_file()), reverse=True)
    return [Found(RunFolder(place)) for place in places]
