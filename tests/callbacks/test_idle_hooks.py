"""Hooks that do nothing are not called at every step, and all others are."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback, LambdaCallback
from support.tiny_training import EPOCHS, STEPS, tiny_fit, tiny_net

from cnnkit import ClassificationTask
from cnnkit.callbacks import SkipIdleHooks
from cnnkit.callbacks.idle_hooks import LOOK, PER_BATCH
from cnnkit.cli import main


class Counting(Callback):
    """Has one hook of a batch, and looks at itself in the first step."""

    def __init__(self) -> None:
        self.calls, self.idle = 0, set[str]()

    def on_train_batch_end(self, *args: Any) -> None:
        self.calls += 1
        self.idle = {name for name in PER_BATCH if getattr(self, name) is None}


def test_only_hooks_that_do_nothing_are_left_out_and_they_are_back_after_the_fit() -> None:
    seen: list[int] = []
    counting, given = Counting(), LambdaCallback(on_before_zero_grad=lambda *_: seen.append(1))
    tiny_fit(ClassificationTask(tiny_net()), SkipIdleHooks(), counting, given)
    assert counting.calls == len(seen) == STEPS * EPOCHS
    assert counting.idle == set(PER_BATCH) - {"on_train_batch_end"}
    assert all(callable(getattr(each, name)) for each in (counting, given) for name in PER_BATCH)
    assert not set(vars(counting)) & set(PER_BATCH)


def test_the_hooks_of_the_task_and_those_that_a_callback_names_are_left_out() -> None:
    class Seldom(Callback):
        calls = 0

        @property
        def idle_hooks(self) -> tuple[str, ...]:
            return ("on_train_batch_start",) if self.calls else ()  # from the second epoch on

        def on_train_batch_start(self, *args: Any) -> None:
            self.calls += 1

    class Task(ClassificationTask):
        own, idle = 0, set[str]()

        def on_train_batch_end(self, *args: Any) -> None:
            self.own += 1
            self.idle = {name for name in PER_BATCH if getattr(self, name) is None}

    task, seldom = Task(tiny_net()), Seldom()
    tiny_fit(task, SkipIdleHooks(), seldom)
    assert (task.own, seldom.calls) == (STEPS * EPOCHS, STEPS)
    assert task.idle == {n for n in PER_BATCH if n.startswith("on_before") or n == "on_after_backward"}
    assert not set(vars(task)) & set(PER_BATCH)
    assert not set(vars(seldom)) & set(PER_BATCH)


@pytest.mark.parametrize(("gpu", "inside"), [(False, "0"), (True, "1")])
def test_without_a_gpu_no_step_looks_for_the_driver(monkeypatch: pytest.MonkeyPatch, gpu: bool, inside: str) -> None:
    skip, trainer, task = SkipIdleHooks(), SimpleNamespace(callbacks=[]), ClassificationTask(tiny_net())
    monkeypatch.setenv(LOOK, "1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    for _ in range(2):  # epochs
        skip.on_train_epoch_start(trainer, task)  # type: ignore[arg-type]
        assert os.environ[LOOK] == inside
    skip.teardown(trainer, task, "fit")  # type: ignore[arg-type]
    assert os.environ[LOOK] == "1"


def test_the_hooks_are_back_after_an_error() -> None:
    class Failing(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("over")

    failing = Failing()
    with pytest.raises(RuntimeError, match="over"):
        tiny_fit(ClassificationTask(tiny_net()), SkipIdleHooks(), failing)
    assert not set(vars(failing)) & set(PER_BATCH)


class Report(Callback):
    """Which callbacks Lightning calls at every training step."""

    called: list[tuple[str, str]] = []  # noqa: RUF012

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        every: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        names = [name for name in PER_BATCH if "validation" not in name]
        type(self).called = [(type(c).__name__, n) for c in every for n in names if callable(getattr(c, n))]


def test_a_fit_as_shipped_calls_few_hooks_a_step(tmp_path: Path) -> None:
    words = ["--data=FashionMNISTSample", "--trainer.max_steps=1", "--trainer.limit_val_batches=1"]
    small = ["--model.net=MLP", "--model.net.hidden_sizes=[4]", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["fit", *words, *small, f"--trainer.callbacks+={__name__}.Report"]) == 0
    # A further one costs every step some 10 microseconds: is there no other place for it?
    assert len(Report.called) <= 10, Report.called
