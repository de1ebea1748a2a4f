"""The numbers that a run has logged, read back from its metrics.csv; no torch."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cnnkit.errors import UserError
from cnnkit.files import open_regular


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of the table, each with what was logged at its step; an empty list where there is no file yet.

    Raises:
        UserError: if the file is no table of numbers with a column ``step``.
    """
    try:
        with open_regular(path, newline="") as file:
            table = csv.DictReader(file)
            rows = [{name: float(cell) for name, cell in row.items() if cell} for row in table]
    except FileNotFoundError:
        return []
    except UserError:  # no file
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); see to its permissions") from None
    except (ValueError, TypeError, AttributeError, csv.Error) as error:  # a row too long is a list, and no text a fault
        raise UserError(f"{path}: no table of numbers ({error}); was it edited? A new run writes a new one") from None
    if not all("step" in row for row in rows):
        raise UserError(f"{path}: has no column step; was it edited? A new run writes a new one")
    return rows


def series(rows: Iterable[Mapping[str, float]], name: str, by: str = "epoch") -> tuple[list[float], list[float]]:
    """One column against another, as far as both were logged at the same step.

    Args:
        by: of the other: ``epoch``, counted from 0 as it is logged, or ``step``.

    Example:
        >>> rows = [{"step": 9, "epoch": 0, "val/acc": 0.8}, {"step": 12}, {"step": 19, "epoch": 1, "val/acc": 0.9}]
        >>> series(rows, "val/acc")
        ([0, 1], [0.8, 0.9])
    """
    pairs = [(row[by], row[name]) for row in rows if by in row and name in row]
    return [x for x, _ in pairs], [y for _, y in pairs]


def quantities(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of what was logged of training or validation once an epoch, without ``train/`` and ``val/``.

    Example:
        >>> quantities([{"step": 9, "train/loss": 2.0, "val/loss": 1.9, "train/loss_step": 2.1, "lr-SGD": 0.1}])
        ['loss']
    """
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(("train/", "val/")))
    return list(dict.fromkeys(name.split("/", 1)[1] for name in names if not name.endswith("_step")))
