"""Every callback of Lightning: in a fit, in its resume, in the test of its run, and with wrong arguments."""

from collections.abc import Callable, Iterable
from pathlib import Path

import lightning.pytorch.callbacks
import pytest
from compatibility.callback_subjects import SUBJECTS, Subject
from compatibility.harness import Attempt, attempt
from compatibility.table import Outcome, judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GROUP = "Callbacks of Lightning"


@pytest.mark.parametrize("name", lightning.pytorch.callbacks.__all__)
def test_a_callback(name: str, tmp_path: Path, report: Callable[[Iterable[Outcome]], None]) -> None:
    subject = SUBJECTS.get(name, Subject())
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "own.py").write_text("def size(batch):\n    return len(batch[0])\n")
    end = attempt(folder, [*subject.words, *given(name, subject.needed)])
    rows = [judge(GROUP, name, ", ".join(subject.needed), end, subject.effect, expected="flops_per_batch")]
    if end.code == 0:
        rows += after(name, folder, end)
    for i, wrong in enumerate(subject.wrong):
        key = wrong.partition("=")[0]
        others = [each for each in subject.needed if each.partition("=")[0] != key]
        bad = attempt(tmp_path / f"wrong{i}", [*subject.words, *given(name, [*others, wrong])])
        rows.append(judge(GROUP, name, wrong, bad, lambda end: False, named=(name, key), late=key in subject.late))
    report(rows)


def given(name: str, arguments: Iterable[str]) -> list[str]:
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{argument}" for argument in arguments)]


def after(name: str, folder: Path, end: Attempt) -> Iterable[Outcome]:
    """The commands that the fit's closing lines name, and going on for an epoch."""
    place, cpu = ["--run=runs/sweep"], ["--trainer.accelerator=cpu"]
    tested = attempt(folder, [*place, *cpu], command="test", tiny=())
    yield judge(GROUP, name, "then test", tested, expected="flops_per_batch")
    more = attempt(folder, ["--resume=runs/sweep", "--trainer.max_epochs=3"], tiny=())
    yield judge(GROUP, name, "then resume", more, lambda _: end.manifest["resumes"], expected="flops_per_batch")
