"""A run that something ends before its length says who, and why."""

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from small_runs import SMALL, Cli

from cnnkit.callbacks import StopWhen
from cnnkit.callbacks.early_stop import describe_early_stop
from cnnkit.runs import find

STOP = "{class_path: EarlyStopping, init_args: {monitor: val/loss, patience: 1, min_delta: 5}}"


def test_the_command_its_manifest_and_the_table_of_runs_say_it(cli: Cli) -> None:
    words = [f"--trainer.callbacks=[{STOP}]", "--data.val_size=100"]
    ended = cli("fit", *SMALL, *words, "--trainer.max_epochs=9")
    assert ended.code == 0, ended.err
    row = next(line for line in ended.out.splitlines() if line.startswith("stopped early"))
    assert "by EarlyStopping: Monitored metric val/loss did not improve in the last 1 records" in row
    assert row.endswith(", after epoch 2 of 9")
    run = find("runs")
    stop = run.manifest()["stopped_early"]
    assert (stop["by"], stop["epoch"], stop["of_epochs"], stop["step"]) == ("EarlyStopping", 2, 9, 6)
    assert "stopped early by EarlyStopping: Monitored metric val/loss did not improve" in cli("runs").out
    # What was restored from the checkpoint is not the reason of a resume that comes to its end.
    assert cli("fit", "--resume", str(run), "--trainer.max_epochs=3").code == 0
    assert run.manifest()["epochs"] == 3
    assert "stopped_early" not in run.manifest()


def test_a_run_of_full_length_says_nothing(cli: Cli) -> None:
    ended = cli("fit", *SMALL, f"--trainer.callbacks=[{STOP}]", "--data.val_size=100", "--trainer.max_epochs=2")
    assert (ended.code, "stopped early" in ended.out) == (0, False)
    assert "stopped_early" not in find("runs").manifest()


def test_a_callback_that_does_not_say_why(cli: Cli) -> None:
    Path("stopper.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n"
        "class Stopper(Callback):\n"
        "    def on_train_batch_end(self, trainer, *args):\n"
        "        trainer.should_stop = True\n"
    )
    ended = cli("fit", *SMALL, "--trainer.callbacks=stopper.Stopper", "--data.val_size=100")
    assert "stopped early" in ended.out, ended.err
    assert find("runs").manifest()["stopped_early"]["by"] == "trainer.should_stop"


def early_stopping() -> EarlyStopping:
    callback = EarlyStopping("val/loss")
    callback.stopping_reason_message, callback.stopped_epoch = "It is over. Signaling Trainer to stop.", 3
    return callback


def timer() -> Timer:
    callback = Timer(datetime.timedelta(seconds=90))
    callback.time_remaining = lambda *args: -2.0  # type: ignore[method-assign]
    callback.time_elapsed = lambda *args: 92.0  # type: ignore[method-assign]
    return callback


def pruner() -> StopWhen:
    callback = StopWhen("val/acc", lambda epoch, value: True)
    module: Any = None
    trainer: Any = SimpleNamespace(callback_metrics={"val/acc": 0.25}, sanity_checking=False, current_epoch=3)
    callback.on_validation_end(trainer, module)
    return callback


@pytest.mark.parametrize(
    ("callback", "first", "by", "reason"),
    [
        (early_stopping(), 0, "EarlyStopping", "It is over"),
        (early_stopping(), 4, "trainer.should_stop", "a callback or the task has set it and does not say why"),
        (timer(), 0, "Timer", "90 s were over"),
        (pruner(), 0, "StopWhen", "val/acc 0.25 is not worth going on with"),
    ],
)
def test_who_and_why(callback: Callback, first: int, by: str, reason: str) -> None:
    trainer: Any = SimpleNamespace(
        should_stop=True,
        callbacks=[callback],
        estimated_stepping_batches=100,
        global_step=40,
        current_epoch=4,
        max_epochs=10,
    )
    found = describe_early_stop(trainer, first)
    assert found is not None
    assert (found["by"], found["reason"], found["step"]) == (by, reason, 40)
    trainer.global_step = 100
    assert describe_early_stop(trainer, first) is None
