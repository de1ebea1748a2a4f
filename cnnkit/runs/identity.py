"""The identity of a run: its resolved configuration, the code that its numbers depend on, and its data."""

import hashlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cnnkit
from cnnkit.config_files.yaml_files import read_dump
from cnnkit.errors import UserError
from cnnkit.runs import RunFolder
from cnnkit.runs.imports import ImportedName, collect_files, is_own
from cnnkit.runs.keys import WITHOUT_EFFECT, covers

PACKAGE = Path(inspect.getfile(cnnkit)).resolve().parent

# Modules that only show results. All others that a fit imports count: one missing here costs an unnecessary run, not a
# wrong number. `tests/study/test_code_version.py` checks that no training step imports any of these.
ONLY_SHOWS = (
    "cnnkit.reporting.figures",
    "cnnkit.reporting.tables",
    "cnnkit.reporting.terminal",
    "cnnkit.dashboards.hparams",
    "cnnkit.dashboards.layout",
    "cnnkit.callbacks.memory",
    "cnnkit.callbacks.progress",
    "cnnkit.callbacks.record",
    "cnnkit.callbacks.throughput",
    "cnnkit.cli.help",
    "cnnkit.cli.parsing.hints",
    "cnnkit.cli.errors.messages",
    "cnnkit.cli.fit.provenance",
    "cnnkit.cli.fit.output",
    "cnnkit.loggers",
    "cnnkit.runs.identity",
    "cnnkit.runs.imports",
    "cnnkit.study",
)
FIT = "cnnkit.cli.fit.session"  # runs a configuration


def code_version(config: dict[str, Any]) -> str:
    """Twelve hex digits over the files that a run's numbers depend on: cnnkit's and the user's own.

    They are the imports of the classes in the configuration, and of the module that runs a fit.

    Args:
        config: a resolved configuration, with the paths of its classes.
    """
    digest = hashlib.sha256()
    for file in deciding_files(config):
        place = next((p for p in (PACKAGE, Path.cwd().resolve()) if file.is_relative_to(p)), file.parent)
        digest.update(f"{file.relative_to(place).as_posix()}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def deciding_files(config: dict[str, Any]) -> list[Path]:
    """The files of `code_version`."""

    def counts(module: str, file: Path) -> bool:
        if file.is_relative_to(PACKAGE):
            return not covers(ONLY_SHOWS, module)
        return is_own(file)

    return collect_files([ImportedName(FIT), *_find_imports(config)], counts)


def _find_imports(config: Any) -> Iterator[ImportedName]:
    """The imports that a configuration may name: all values that look like a dotted path."""
    if isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from _find_imports(value)
    elif isinstance(config, str) and re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", config):
        module, _, name = config.rpartition(".")
        yield ImportedName(module, name)


def identity(config: dict[str, Any], code: str, data: dict[str, Any], *, any_precision: bool = False) -> str:
    """Sixteen hex digits that are equal for two runs if and only if they compute the same.

    Args:
        config: a resolved configuration, as config.yaml holds it.
        code: see `code_version`.
        data: the manifest's facts about the data; ``fingerprint`` and ``split`` count.
        any_precision: ignore the precision.
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


class ExistingRun:
    """A run folder of an earlier run, with its manifest and configuration."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        try:
            self.manifest = run.manifest()
            self.config: dict[str, Any] = read_dump(run.config)
        except (UserError, OSError):  # stopped while it was written
            self.manifest, self.config = {}, {}

    def matches(self, config: dict[str, Any], code: str, data: dict[str, Any], *, any_precision: bool = False) -> bool:
        """Whether it is a run of this configuration, code and data; in any precision, if that is allowed."""
        if not self.config or self.manifest.get("code") != code:
            return False
        mine = identity(self.config, code, self.manifest.get("data") or {}, any_precision=any_precision)
        return mine == identity(config, code, data, any_precision=any_precision)

    @property
    def precision(self) -> str:
        """The precision of its computation; empty if unknown."""
        return str((self.manifest.get("precision") or {}).get("value", ""))

    @property
    def state(self) -> str:
        """``done`` (trained and tested), ``trained``, ``failed``, ``resumable``, or ``nothing`` (no checkpoint)."""
        status = self.manifest.get("status")
        if status == "finished":
            return "done" if "test" in self.manifest else "trained"
        if status == "failed":
            return "failed"
        return "resumable" if self.run.last.exists() else "nothing"


def list_runs(folder: Path) -> list[ExistingRun]:
    """The runs of one variant, the newest first."""
    places = sorted((p for p in folder.glob("*") if (p / "config.yaml").is_file()), reverse=True)
    return [ExistingRun(RunFolder(place)) for place in places]
