"""Every argument of lightning.Trainer, with ordinary and wrong values, on the three tasks."""

from collections.abc import Callable, Iterable
from pathlib import Path

import lightning as L
import pytest
from compatibility.harness import attempt
from compatibility.table import Outcome, judge
from compatibility.trainer_subjects import SUBJECTS, Subject
from compatibility.values import arguments, values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

NET = ["--model.net.channels=[4,8]", "--model.net.hidden_sizes=[16]"]
TASKS = {
    "ClassificationTask": [],
    "AuxiliaryLossTask": ["--model=AuxiliaryLossTask", "--model.after=[features]"],
    "TransferTask": ["--model=TransferTask", "--model.mode=gradual", "--model.unfreeze_at=[1]"],
}
# What a task's own steps, losses and stages may meet; the others are the trainer's affair alone.
INTERACT = {
    "accumulate_grad_batches",
    "barebones",
    "check_val_every_n_epoch",
    "detect_anomaly",
    "deterministic",
    "enable_checkpointing",
    "fast_dev_run",
    "gradient_clip_algorithm",
    "gradient_clip_val",
    "inference_mode",
    "limit_train_batches",
    "limit_val_batches",
    "max_epochs",
    "max_steps",
    "overfit_batches",
    "precision",
    "val_check_interval",
}
PLAIN = "ClassificationTask"
CASES = [(task, name) for name in arguments(L.Trainer) for task in TASKS if task == PLAIN or name in INTERACT]


@pytest.mark.parametrize(("task", "name"), CASES)
def test_an_argument_of_the_trainer(
    task: str, name: str, tmp_path: Path, report: Callable[[Iterable[Outcome]], None]
) -> None:
    report([try_value(task, name, value, tmp_path / str(i)) for i, value in enumerate(values_of(name))])


def values_of(name: str) -> list[str]:
    subject = SUBJECTS.get(name, Subject())
    found = [*values(arguments(L.Trainer)[name]), *subject.values]
    return [value for value in dict.fromkeys(found) if value not in subject.leave_out]


def try_value(task: str, name: str, value: str, folder: Path) -> Outcome:
    subject = SUBJECTS.get(name, Subject())
    own = subject.words_of.get(value, [])
    given = [] if any(word.startswith(f"--trainer.{name}=") for word in own) else [f"--trainer.{name}={value}"]
    end = attempt(folder, [*TASKS[task], *(NET if TASKS[task] else []), *subject.words, *own, *given])
    effect = subject.effect
    return judge(f"Trainer, {task}", name, value, end, effect and (lambda end: effect(value, end)))
