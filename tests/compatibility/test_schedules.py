"""Every schedule of torch.optim.lr_scheduler and timm.scheduler, from a file, the command line and Python.

It works if the rates are those of a bare loop over the library's own object, of the length that the manifest names.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm.scheduler
import torch
import yaml
from compatibility.harness import Attempt, attempt
from compatibility.table import Outcome, judge
from tiny_training import Groups, tiny_fit, tiny_net
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from cnnkit import ClassificationTask
from cnnkit.errors import UserError
from cnnkit.optim import plan_schedule

Report = Callable[[list[Outcome]], None]
SGD = partial(torch.optim.SGD, lr=0.5, momentum=0.9)
# What a class asks for; one that is not here is tried without arguments.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CosineAnnealingWarmRestarts": {"T_0": 1},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2},
    "ExponentialLR": {"gamma": 0.5},
    "LambdaLR": {"lr_lambda": "halving.halve"},
    "MultiStepLR": {"milestones": [1]},
    "MultiStepLRScheduler": {"decay_t": [1], "decay_rate": 0.5},
    "MultiplicativeLR": {"lr_lambda": "halving.halve"},
    "OneCycleLR": {"max_lr": 1.0},
    "PlateauLRScheduler": {"mode": "min"},
    "SWALR": {"swa_lr": 0.05},
    "StepLR": {"step_size": 1},
    "StepLRScheduler": {"decay_t": 1, "decay_rate": 0.5},
    "WSDLRScheduler": {"decay_t": 1},
}
PARTS = ["LinearLR", "CosineAnnealingLR"]
ARGUMENTS |= {"SequentialLR": {"schedulers": PARTS, "milestones": [1]}, "ChainedScheduler": {"schedulers": PARTS}}
HALVING = "def halve(count: int) -> float:\n    return 0.5\n"
STEPS, EPOCHS = 3, 2


def classes() -> Iterator[type]:
    yield SWALR
    for module in (lr_scheduler, timm.scheduler):
        for name, value in sorted(vars(module).items()):
            named = name.endswith(("LR", "LRScheduler", "Scheduler", "Restarts", "Plateau")) and not name.startswith(
                "_"
            )
            if inspect.isclass(value) and named and value is not lr_scheduler.LRScheduler:
                yield value


def path_of(cls: type) -> str:
    module = cls.__module__ if cls.__module__.startswith("torch") else "timm.scheduler"
    return f"{module}.{cls.__name__}"


def halve(count: int) -> float:
    return 0.5


def as_objects(cls: type) -> dict[str, Any]:
    """The arguments for Python."""
    given = dict(ARGUMENTS.get(cls.__name__, {}))
    if "lr_lambda" in given:
        given["lr_lambda"] = halve
    if "schedulers" in given:
        given["schedulers"] = [getattr(lr_scheduler, name) for name in PARTS]
    return given


def expected_rates(cls: type, facts: dict[str, Any], steps: int, epochs: int) -> list[float]:
    """The rate before every step or epoch of a bare loop."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))])
    given, interval = as_objects(cls), facts["interval"]
    argument = plan_schedule(partial(cls, **given)).argument
    if argument is not None and facts["filled"]:
        given[argument] = facts["length"]
    if "t_in_epochs" in inspect.signature(cls).parameters:
        given["t_in_epochs"] = interval == "epoch"
    if "schedulers" in given:
        ends = [epochs, epochs - given["milestones"][0] if "milestones" in given else epochs]
        parts = [lr_scheduler.LinearLR(optimizer), lr_scheduler.CosineAnnealingLR(optimizer, T_max=ends[1])]
        given["schedulers"] = parts
        schedule = cls(**given, optimizer=optimizer)
    else:
        schedule = cls(optimizer, **given)
    seen = []
    for count in range(1, (steps if interval == "step" else epochs) + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if hasattr(schedule, "step_update"):
            schedule.step_update(count) if interval == "step" else schedule.step(count, 1.0)
        else:
            schedule.step(*((1.0,) if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else ()))
    return seen


def has_the_rates(cls: type) -> Callable[[Attempt], bool]:
    def check(end: Attempt) -> bool:
        facts = end.manifest["schedule"]
        rates = end.logged("lr-SGD")
        return rates == pytest.approx(expected_rates(cls, facts, STEPS * EPOCHS, EPOCHS))

    return check


def from_file(cls: type, folder: Path) -> Attempt:
    chosen = {"class_path": path_of(cls), "init_args": ARGUMENTS.get(cls.__name__, {})}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5, "momentum": 0.9}}
    task = {"class_path": "ClassificationTask", "init_args": {"optimizer": optimizer, "scheduler": chosen}}
    (folder / "halving.py").write_text(HALVING)
    (folder / "schedule.yaml").write_text(yaml.safe_dump({"model": task}))
    return attempt(folder, ["--config=schedule.yaml"])


def from_words(cls: type, folder: Path) -> Attempt:
    (folder / "halving.py").write_text(HALVING)
    words = ["--model.optimizer=SGD", "--model.optimizer.lr=0.5", "--model.optimizer.momentum=0.9"]
    words.append(f"--model.scheduler={path_of(cls)}")
    for name, value in ARGUMENTS.get(cls.__name__, {}).items():
        words.append(f"--model.scheduler.{name}={str(value).replace(chr(39), '')}")
    return attempt(folder, words)


def from_python(cls: type, folder: Path) -> tuple[Attempt, bool]:
    groups, task = Groups(), ClassificationTask(tiny_net(), SGD, partial(cls, **as_objects(cls)))
    try:
        tiny_fit(task, groups, max_epochs=EPOCHS, limit_train_batches=STEPS)
    except UserError as error:
        return Attempt([], 2, "", f"error: {error}", folder), False
    assert task.schedule is not None
    facts = task.schedule.facts
    expected = expected_rates(cls, facts, STEPS * EPOCHS, EPOCHS)
    seen = groups.rates if facts["interval"] == "step" else groups.rates[::STEPS]
    return Attempt([], 0, "", "", folder), seen == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PlateauLRScheduler is deprecated")
@pytest.mark.parametrize("cls", list(classes()), ids=lambda cls: cls.__name__)
def test_a_schedule(cls: type, tmp_path: Path, report: Report) -> None:
    rows = []
    for setting, run in (("configuration file", from_file), ("command line", from_words)):
        folder = tmp_path / setting.replace(" ", "-")
        folder.mkdir()
        end = run(cls, folder)
        named, check = "model.scheduler", has_the_rates(cls)
        rows.append(judge("Schedules", path_of(cls), setting, end, check, named=named, expected="deprecated"))
    end, right = from_python(cls, tmp_path)
    rows.append(judge("Schedules", path_of(cls), "Python", end, lambda _: right, named="model.scheduler"))
    report(rows)


@pytest.mark.parametrize("cls", [lr_scheduler.OneCycleLR, lr_scheduler.SequentialLR, timm.scheduler.CosineLRScheduler])
def test_three_schedules_from_file_and_command_line(cls: type, tmp_path: Path) -> None:
    for number, run in enumerate((from_file, from_words)):
        folder = tmp_path / str(number)
        folder.mkdir()
        end = run(cls, folder)
        assert judge("", "", "", end, has_the_rates(cls), named="model.scheduler").result == "works", end.err
        kept = (end.run or pytest.fail(end.err)).config.read_text()
        assert "schedulers:" in kept or "total_steps: null" in kept or "t_initial: 0" in kept


@pytest.mark.parametrize(
    ("words", "rates"),
    [
        (["PolynomialLR"], [0.5 * (1 - step / 6) for step in range(6)]),
        (["PolynomialLR", "--model.scheduler.total_iters=5"], [0.5, 0.4]),  # 5 is the class's default, and was written
        (["CosineAnnealingLR", "--model.scheduler.T_max=4"], [0.5, 0.25 + 0.25 * 0.5**0.5]),
    ],
)
def test_a_length_that_was_written_is_not_filled_in(words: list[str], rates: list[float], tmp_path: Path) -> None:
    optimizer = ["--model.optimizer=SGD", "--model.optimizer.lr=0.5"]
    end = attempt(tmp_path, [*optimizer, f"--model.scheduler={words[0]}", *words[1:]])
    assert end.logged("lr-SGD") == pytest.approx(rates), end.err
    assert end.manifest["schedule"]["filled"] == (len(rates) == 6)
