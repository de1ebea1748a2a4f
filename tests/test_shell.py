"""Commands that are printed can be copied into a shell, spaces in paths or not."""

import re
import shlex
from pathlib import Path

from small_runs import SMALL, Cli

import cnnkit
from cnnkit.cli import main
from cnnkit.runs import find

COMMANDS = "fit|test|validate|predict|summary|explain|report|show-data|runs|compare|study"
COMMANDS += "|check|check-data|find-lr|find-batch-size"
FILLED_IN = re.compile(rf"cnnkit ({COMMANDS}) [^\"\n;]*\{{")


def test_no_command_is_put_together_without_quoting() -> None:
    package = Path(cnnkit.__file__).parent
    for file in package.rglob("*.py"):
        if file.name != "help.py":
            assert not FILLED_IN.search(file.read_text(encoding="utf-8")), file


def test_what_a_fit_prints_runs_as_it_is(cli: Cli) -> None:
    Path("my card.yaml").write_text("trainer: {default_root_dir: my runs}\n")
    ended = cli("fit", "--config", "my card.yaml", *SMALL, "--trainer.limit_val_batches=1", "--name=n")
    assert ended.code == 0, ended.err
    run = find("my runs")
    command = next(line for line in ended.out.splitlines() if line.startswith("test it")).partition("cnnkit ")[2]
    assert shlex.split(command) == ["test", "--run", str(run.path)]
    assert main(shlex.split(command)) == 0
    head = run.config.read_text().splitlines()[0]
    assert shlex.split(head.removeprefix("# cnnkit ")) == ["fit", "--config", str(run.config)]
    board = next(line for line in ended.out.splitlines() if "tensorboard" in line).partition("tensorboard ")[2]
    assert shlex.split(board) == ["--logdir", "my runs/n"]
