"""The committed page holds no fault, and the judge can tell one."""

import inspect
from pathlib import Path

import lightning
import lightning.pytorch.callbacks
import pytest
from compatibility.harness import Attempt, attempt
from compatibility.table import Outcome, judge, merge, read, render, write


def test_no_row_of_the_page_is_a_fault() -> None:
    assert [row for row in read() if row.result == "FAULT"] == []


def test_the_page_has_what_the_installed_lightning_has() -> None:
    names: dict[str, set[str]] = {}
    for row in read():
        names.setdefault(row.group, set()).add(row.name)
    assert names["Trainer, ClassificationTask"] == set(inspect.signature(lightning.Trainer).parameters)
    assert names["Callbacks of Lightning"] == set(lightning.pytorch.callbacks.__all__)


def test_the_page_comes_back_from_its_text(tmp_path: Path) -> None:
    rows = [
        Outcome("Trainer", "max_steps", "5", "works"),
        Outcome("Trainer", "precision", "a|b", "refused", "precision: a|b is none"),
    ]
    write(rows, tmp_path / "page.md")
    assert read(tmp_path / "page.md") == rows
    assert "1 of 2 work, 1 are refused" in render(rows)
    newer = Outcome("Trainer", "max_steps", "6", "works")
    assert merge(rows, [newer]) == [rows[1], newer]


def ended(code: int, err: str = "", warned: tuple[str, ...] = ()) -> Attempt:
    return Attempt([], code, "", err, Path("/nowhere"), list(warned))


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (ended(0), "works"),
        (ended(0, warned=("precision is ignored",)), "FAULT"),
        (ended(2, "error: trainer.precision: 5 is none of 16-mixed, 32-true"), "refused"),
        (ended(2, "error: something is wrong"), "FAULT"),  # which key?
        (ended(2, "error: `precision=5` of <class Trainer>"), "FAULT"),  # raw
        (ended(2, "error: precision\n" * 4), "FAULT"),
        (ended(1, "error: precision"), "FAULT"),
        (ended(1, "Traceback (most recent call last):\nValueError: precision"), "FAULT"),
    ],
)
def test_the_judge(end: Attempt, result: str) -> None:
    assert judge("Trainer", "precision", "5", end).result == result
    if end.code == 0:
        assert judge("Trainer", "precision", "5", end, lambda end: False).result == "FAULT"


def test_an_attempt_says_how_it_ended(tmp_path: Path) -> None:
    good = attempt(tmp_path / "good", ["--trainer.max_steps=4"])
    assert (good.code, good.steps, len(good.logged("train/loss_step"))) == (0, 4, 4)
    assert good.files("checkpoints/*") == ["best.ckpt", "last.ckpt"]
    bad = attempt(tmp_path / "bad", ["--trainer.max_stepz=4"])
    assert (bad.code, bad.run) == (2, None)
    assert judge("Trainer", "max_stepz", "4", bad).result == "refused"
