"""The table that ``predict --images`` writes."""

import csv
from pathlib import Path


def read_table(path: str | Path = "predictions.csv") -> list[dict[str, str]]:
    """Its rows by column."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
