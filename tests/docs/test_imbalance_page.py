"""The commands of docs/imbalance.md work as written."""

import re
import shlex
from pathlib import Path

import pytest
from small_runs import Cli

PAGE = (Path(__file__).parents[2] / "docs" / "imbalance.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^cnnkit (fit .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs(command: str, cli: Cli) -> None:
    few = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
    ended = cli(*shlex.split(command), "--model.net.channels=[4,8]", *few)
    assert ended.code == 0, ended.err


def test_there_are_some() -> None:
    assert len(COMMANDS) == 3
