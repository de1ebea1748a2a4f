import csv
from pathlib import Path

import pytest

from cnnkit import loggers
from cnnkit.loggers import MetricsCSV


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_step_is_one_row_and_new_names_become_columns(tmp_path: Path) -> None:
    table = MetricsCSV(tmp_path / "m.csv")
    table.log_metrics({"a": 1.5}, 0)
    table.save()
    table.log_metrics({"b": 2.0}, 3)
    table.log_metrics({"a": 2.5, "epoch": 0}, 3)
    table.finalize("success")
    assert read(tmp_path / "m.csv") == [
        {"step": "0", "epoch": "", "a": "1.5", "b": ""},
        {"step": "3", "epoch": "0.0", "a": "2.5", "b": "2.0"},
    ]


def test_a_resume_writes_on_from_its_step(tmp_path: Path) -> None:
    table = MetricsCSV(tmp_path / "m.csv")
    for step in range(6):
        table.log_metrics({"a": step}, step)
    table.finalize("failed")
    resumed = MetricsCSV(tmp_path / "m.csv", resume_step=3)
    resumed.log_metrics({"a": 30}, 3)
    resumed.finalize("success")
    assert [row["a"] for row in read(tmp_path / "m.csv")] == ["0.0", "1.0", "2.0", "30.0"]


def test_a_long_table_is_not_written_at_every_call_but_always_at_a_checkpoint_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, written = [0.0], []

    def write(path: Path, text: str) -> None:
        clock[0] += 1.0  # a second to write: a table of a million rows
        written.append(text.count("\n") - 1)

    monkeypatch.setattr(loggers.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(loggers, "write_atomically", write)
    table = MetricsCSV(tmp_path / "m.csv")
    for step in range(100):
        clock[0] += 0.1
        table.log_metrics({"a": 1}, step)
        if step == 50:
            table.after_save_checkpoint(None)
        table.save()
    table.finalize("success")
    assert written == [1, 51, 100]
