"""Run folders as records to list, choose and compare; standard library and YAML alone, so that it costs no torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnnkit.config_files.yaml_files import read_dump
from cnnkit.errors import UserError
from cnnkit.metric_names import MONITOR, is_lower_better
from cnnkit.runs import RunFolder, find_writer
from cnnkit.runs.keys import PLACES


@dataclass(frozen=True)
class RunRecord:
    """The files of a run folder.

    Args:
        path: the folder.
        manifest: empty if it is missing or cannot be read.
        reason: why the manifest cannot be read; empty if it can.
    """

    path: Path
    manifest: dict[str, Any]
    reason: str = ""

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The most used facts by name; unknown ones are None."""
        of, times = self.manifest.get, _dict(self.manifest.get("times"))
        net, data = _dict(of("net")), _dict(of("data"))
        seconds = times.get("train_seconds", times.get("fit_seconds"))
        return {
            "run": str(self.path),
            "name": self.path.resolve().parent.name,
            "when": of("started"),
            "status": self._status,
            "net": net.get("class"),
            "parameters": net.get("parameters"),
            "data": data.get("name"),
            "seed": of("seed"),
            "epochs": of("epochs"),
            "seconds": seconds,
            "minutes": None if seconds is None else seconds / 60,
            "monitor": _dict(of("monitor")).get("metric"),
            "reason": self.reason or of("reason") or self._early_stop,
        }

    @property
    def _status(self) -> str:
        status = self.manifest.get("status") or ("broken" if self.reason else "not started")
        # Only a process that is killed leaves this status behind.
        return "killed" if status == "running" and find_writer(self.path) is None else str(status)

    @property
    def _early_stop(self) -> str | None:
        stop = describe_stop(_dict(self.manifest.get("stopped_early")))
        return f"stopped early {stop}" if stop else None

    @cached_property
    def scores(self) -> dict[str, float]:
        """Scores by name, such as ``val/acc``: of the best epoch, else of the last one."""
        parts = [_dict(self.manifest.get(part)) for part in ("last", "validate", "best", "test")]
        return {key: value for part in parts for key, value in part.items() if "/" in key}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, see `flatten`; empty if it cannot be read."""
        try:
            return flatten(read_dump(RunFolder(self.path).config))
        except UserError:
            return {}

    def get(self, key: str) -> Any:
        """A fact, a score, or an entry of manifest or configuration by dotted name, such as ``model.optimizer.lr``."""
        for place in ("facts", "scores", "_entries", "config"):  # the configuration last: to read it takes longest
            if key in (found := getattr(self, place)):
                return found[key]
        return None

    def keys(self) -> set[str]:
        """All keys of `get`."""
        return {*self.facts, *self.scores, *self._entries, *self.config}

    @cached_property
    def _entries(self) -> dict[str, Any]:
        return flatten(self.manifest)


def describe_stop(stop: Mapping[str, Any]) -> str:
    """Describe what stopped a run early, from its manifest; empty for a run of full length."""
    return f"by {stop.get('by')}: {stop.get('reason')}" if stop else ""


def score_columns(records: Sequence[RunRecord]) -> list[str]:
    """The scores in a table of runs: the monitored ones and the same in the test; accuracy by default."""
    monitored = list(dict.fromkeys(record.facts["monitor"] or MONITOR for record in records)) or [MONITOR]
    tested = [name.replace("val/", "test/", 1) for name in monitored if name.startswith("val/")]
    there = {name for record in records for name in record.scores}
    return [*monitored, *(name for name in dict.fromkeys([*tested, "test/acc"]) if name in there or name == "test/acc")]


def lower_is_better(records: Sequence[RunRecord], key: str) -> bool:
    """Whether the best run has the lowest value of a key: by the runs that monitor it, else by its name."""
    modes = (_dict(record.manifest.get("monitor")) for record in records)
    said = next((mode.get("mode") for mode in modes if _same_score(mode.get("metric"), key)), None)
    return is_lower_better(key) if said is None else said == "min"


def _same_score(monitored: Any, key: str) -> bool:
    return isinstance(monitored, str) and monitored.partition("/")[2] == key.partition("/")[2] != ""


def read_record(path: Path) -> RunRecord:
    """Read the record of a run folder; a manifest that cannot be read is no error but a reason."""
    try:
        return RunRecord(path, RunFolder(path).manifest())
    except UserError as error:
        text = str(error)
    reason = (
        "is no mapping" if "(no mapping)" in text else "is no JSON" if "not a manifest" in text else "cannot be read"
    )
    return RunRecord(path, {}, f"manifest.json {reason}")


def read_records(folder: Path) -> list[RunRecord]:
    """Read all runs at and below a folder, the newest first."""
    found = []
    for place, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if name != "checkpoints" and not name.startswith("."))
        if {"manifest.json", "config.yaml"} & set(files):
            found.append(read_record(Path(place)))
    return sorted(found, key=lambda record: str(record.get("when") or ""), reverse=True)


def flatten(nested: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten nested values to dotted names as on the command line, without ``init_args`` and ``class_path``.

    Example:
        >>> flatten({"model": {"class_path": "a.Task", "init_args": {"net": {"class_path": "b.CNN"}, "lr": 0.1}}})
        {'model': 'a.Task', 'model.net': 'b.CNN', 'model.lr': 0.1}
    """
    found: dict[str, Any] = {}
    for key, value in nested.items():
        dropped = above and key in ("init_args", "class_path")
        name = above if dropped else f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            found |= flatten(value, name)
        elif isinstance(value, list):
            found[name] = [_format_object(part) for part in value]
        elif not (dropped and key == "init_args"):  # empty
            found[name] = value
    return found


def _format_object(value: Any) -> Any:
    """Format an object in a list as a Python call."""
    if not isinstance(value, Mapping):
        return value
    arguments = flatten(value, "x")
    name = str(arguments.pop("x", "")).rpartition(".")[2]
    return f"{name}({', '.join(f'{key[2:]}={value}' for key, value in arguments.items())})"


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ, with both; None stands for a missing one, too.

    Example:
        >>> differences({"lr": 0.1, "net": "CNN"}, {"lr": 0.2, "net": "CNN", "seed": 1})
        {'lr': (0.1, 0.2), 'seed': (None, 1)}
    """
    return {key: (a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)}


def config_differences(a: RunRecord, b: RunRecord) -> dict[str, tuple[Any, Any]]:
    """The keys in which the configurations of two runs differ, without those of places."""
    return {key: values for key, values in differences(a.config, b.config).items() if key not in PLACES}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
