"""The run's numbers, for TensorBoard and as a table that any spreadsheet reads."""

import contextlib
import csv
import io
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger

from cnnkit.run_folder import write_atomically


class TensorBoard(TensorBoardLogger):
    """TensorBoard events straight into a run folder, without Lightning's empty hparams.yaml.

    Args:
        folder: the run folder.
        resume_step: the first step that is to come; what was written of it and later ones is hidden.
    """

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        purge: dict[str, Any] = {} if resume_step is None else {"purge_step": resume_step}
        super().__init__(folder, name="", version="", default_hp_metric=False, **purge)
        # TensorBoard reads files in the order of their names, which begin with the second they were made in. Within
        # one second the process number would decide, and a resume could be read before what it goes on from.
        while resume_step is not None and any(folder.glob(f"events.out.tfevents.{int(time.time())}.*")):
            time.sleep(0.05)

    @rank_zero_only
    def save(self) -> None:
        """Hand what is buffered to the file."""
        self.experiment.flush()


class MetricsCSV(Logger):
    """Writes everything that is logged to a CSV file with one row a step and one column a name.

    Unlike Lightning's CSVLogger it keeps what an earlier part of the same run wrote, and never leaves half a file.

    Args:
        path: the file.
        resume_step: the first step that is to come; a file that is there keeps its rows before it. None given: start
            a new file.
    """

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, Any]] = {}
        self._unsaved = False
        self._saved_at = self._save_took = 0.0
        if resume_step is not None and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if int(row["step"]) < resume_step:
                        self.rows[int(row["step"])] = {k: v for k, v in row.items() if v != ""}

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def version(self) -> str:
        """Runs have folders, not versions."""
        return ""

    @property
    def log_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add to the row of this step."""
        self.rows.setdefault(step or 0, {"step": step or 0}).update({k: float(v) for k, v in metrics.items()})
        self._unsaved = True

    @rank_zero_only
    def save(self) -> None:
        """Write the whole table, or leave the old one. A long table is not written at every call."""
        if self._unsaved and time.monotonic() - self._saved_at >= 20 * self._save_took:
            self._write()

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Let no row before a checkpoint be lost: the next `save` writes."""
        self._save_took = 0.0

    def _write(self) -> None:
        began = time.monotonic()
        columns = list(dict.fromkeys(["step", "epoch", *(key for row in self.rows.values() for key in row)]))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for _, row in sorted(self.rows.items()))
        write_atomically(self.path, text.getvalue())
        self._unsaved, self._saved_at = False, time.monotonic()
        self._save_took = self._saved_at - began

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left; after a failure, if that is possible."""
        with contextlib.suppress(*(() if status == "success" else (OSError,))):
            if self._unsaved:
                self._write()
