"""What is in the files of a run folder, and what is wrong with them."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cnnkit.callbacks import load_checkpoint
from cnnkit.runs import RunFolder

MACHINE = ("images_per_second", "memory/peak_mb")  # no number of the training


def unreadable(run: RunFolder) -> list[str]:
    """What is wrong with the files of a run folder that have their final names."""
    found = []
    readers: dict[Path, Callable[[Path], Any]] = {
        run.config: lambda path: yaml.safe_load(path.read_text(encoding="utf-8"))["trainer"],
        run.manifest_file: lambda path: json.loads(path.read_text(encoding="utf-8"))["status"],
        run.metrics: lambda path: read_rows(run),
        **dict.fromkeys(run.checkpoints.glob("*.ckpt"), load_checkpoint),
    }
    for path, read in readers.items():
        try:
            if path.exists():
                read(path)
        except Exception as error:  # whatever it is, it is counted
            found.append(f"{path.name}: {type(error).__name__}: {error}")
    return found


def read_rows(run: RunFolder) -> dict[int, dict[str, str]]:
    """The rows of metrics.csv by step, without what depends on the machine."""
    if not run.metrics.exists():
        return {}
    with run.metrics.open(newline="", encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key not in MACHINE} for row in csv.DictReader(file)]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values() if value)
    return {int(row["step"]): row for row in rows}


def missing_rows(expected: dict[int, dict[str, str]], found: dict[int, dict[str, str]]) -> list[int]:
    """Steps whose row is not there, or lacks or changes a number."""
    return [
        step
        for step, row in expected.items()
        if any(found.get(step, {}).get(name) != value for name, value in row.items() if value)
    ]
