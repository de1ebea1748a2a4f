"""Loggers: TensorBoard, and a CSV table that any spreadsheet reads."""

import csv
import io
import re
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger

from cnnkit.errors import UserError
from cnnkit.files import note_not_written, open_regular, write_atomically

_EVENTS = re.compile(r"(events\.out\.tfevents\.)(\d+)(\..*)")


class TensorBoard(TensorBoardLogger):
    """TensorBoard events straight into a run folder, without Lightning's empty hparams.yaml.

    A full disk or a lost folder stops the events, not the run.

    Args:
        folder: the run folder.
        resume_step: the first step after a resume; earlier records of it and later ones are hidden.
    """

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        purge: dict[str, Any] = {} if resume_step is None else {"purge_step": resume_step}
        super().__init__(folder, name="", version="", default_hp_metric=False, **purge)
        self._folder = folder
        if resume_step is None:
            self._ahead = 0.0
        else:
            self._ahead = rename_future_events(folder)
            # Within one second the process number would decide which file is read first, and a resume could be read
            # before the run that it resumes.
            while any(folder.glob(f"events.out.tfevents.{int(time.time())}.*")):
                time.sleep(0.05)
        self._wall, self._began = time.time() + self._ahead, time.monotonic()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log at times that never go back, whatever the clock does."""
        moment = self._wall + time.monotonic() - self._began
        try:
            for name, value in metrics.items():
                self.experiment.add_scalar(name, float(value), step, walltime=moment)
        except OSError as error:
            note_not_written(self._folder / "events.out.tfevents", error, "; metrics.csv has the numbers")

    @rank_zero_only
    def save(self) -> None:
        try:
            self.experiment.flush()
        except OSError as error:
            note_not_written(self._folder / "events.out.tfevents", error, "; metrics.csv has the numbers")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        try:
            super().finalize(status)
        except OSError as error:
            note_not_written(self._folder / "events.out.tfevents", error, "; metrics.csv has the numbers")


def rename_future_events(folder: Path) -> float:
    """Rename event files that a clock, since set back, dates in the future: TensorBoard reads in the order of names.

    Returns:
        By how many seconds the newest of them was written ahead of now; at least 0.
    """
    now, files = time.time(), sorted(folder.glob("events.out.tfevents.*"))
    ahead = max((file.stat().st_mtime - now for file in files), default=0.0)
    dated = [(match, file) for file in files if (match := _EVENTS.fullmatch(file.name))]
    if any(int(match[2]) > now for match, _ in dated):
        for place, (match, file) in enumerate(dated):
            file.rename(folder / f"{match[1]}{int(now) - len(dated) + place}{match[3]}")
    return max(0.0, ahead)


class MetricsCSV(Logger):
    """Writes everything that is logged to a CSV file with one row a step and one column a name.

    Unlike Lightning's CSVLogger it keeps what an earlier part of the same run wrote, and never leaves half a file.
    While the file cannot be written, the rows stay in memory and are written later.

    Args:
        path: the file.
        resume_step: the first step after a resume; an existing file keeps its rows before it. By default a new file
            starts.
    """

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, Any]] = {}
        self._unsaved = False
        self._saved_at = self._save_took = 0.0
        if resume_step is not None:
            rows = _read_rows(path)
            self.rows = {step: row for step, row in rows.items() if step < resume_step}

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def version(self) -> str:
        """Empty: runs have folders, not versions."""
        return ""

    @property
    def log_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.setdefault(step or 0, {"step": step or 0}).update({k: float(v) for k, v in metrics.items()})
        self._unsaved = True

    @rank_zero_only
    def save(self) -> None:
        """Write the whole table, or leave the old one. A long table is not written at every call."""
        if self._unsaved and time.monotonic() - self._saved_at >= 20 * self._save_took:
            self.write()

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Write at the next `save`, so that no row before a checkpoint is lost."""
        self._save_took = 0.0

    @rank_zero_only
    def write(self) -> None:
        """Write the whole table now."""
        began = time.monotonic()
        columns = list(dict.fromkeys(["step", "epoch", *(key for row in self.rows.values() for key in row)]))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for _, row in sorted(self.rows.items()))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)  # the folder may be gone
            write_atomically(self.path, text.getvalue())
            self._unsaved = False
        except OSError as error:
            note_not_written(self.path, error, "; the run goes on, and tries again")
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._unsaved:
            self.write()


def _read_rows(path: Path) -> dict[int, dict[str, Any]]:
    """The rows by step; other lines are left out, and the old file is then kept beside the new one."""
    rows: dict[int, dict[str, Any]] = {}
    damaged = 0
    try:
        with open_regular(path, newline="", errors="replace") as file:
            for row in csv.DictReader(line.replace("\0", "\ufffd") for line in file):
                try:
                    numbers = {k: v for k, v in row.items() if v != "" and v is not None and float(v) is not None}
                    rows[int(row["step"])] = numbers
                except (ValueError, TypeError, KeyError):
                    damaged += 1
    except FileNotFoundError:
        return {}
    except (UserError, csv.Error, OSError) as error:
        damaged += 1
        print(f"{path}: {error}", file=sys.stderr)
    if damaged:
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        print(
            f"{path}: {damaged} lines are no rows of numbers; kept as {aside.name}, {len(rows)} rows are taken over",
            file=sys.stderr,
        )
    return rows
