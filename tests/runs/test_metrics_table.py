"""metrics.csv as it is written, read back."""

from pathlib import Path

import pytest

from cnnkit.errors import UserError
from cnnkit.loggers import MetricsCSV
from cnnkit.runs.metrics import quantities, read_metrics, series


def test_what_was_logged_comes_back(tmp_path: Path) -> None:
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"epoch": 0, "train/loss_step": 2.5}, 4)
    logger.log_metrics({"epoch": 0, "val/acc": 0.25}, 9)
    logger.log_metrics({"epoch": 0, "train/loss": 1.5}, 9)
    logger.log_metrics({"epoch": 1, "val/acc": 0.5, "lr-SGD": 1e-3}, 19)
    logger.save()
    rows = read_metrics(tmp_path / "metrics.csv")
    assert rows == [
        {"step": 4, "epoch": 0, "train/loss_step": 2.5},
        {"step": 9, "epoch": 0, "val/acc": 0.25, "train/loss": 1.5},
        {"step": 19, "epoch": 1, "val/acc": 0.5, "lr-SGD": 1e-3},
    ]
    assert series(rows, "val/acc") == ([0, 1], [0.25, 0.5])
    assert series(rows, "val/acc", by="step") == ([9, 19], [0.25, 0.5])
    assert series(rows, "no such name") == ([], [])
    assert quantities(rows) == ["acc", "loss"]


def test_a_run_that_has_logged_nothing_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "metrics.csv") == []


@pytest.mark.parametrize("text", ["step,val/acc\n1,high\n", "epoch,val/acc\n1,0.5\n", "step\n1,2,3\n", "step\n\xff\n"])
def test_what_is_no_table_of_numbers_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"metrics.csv: .*was it edited\?"):
        read_metrics(path)
