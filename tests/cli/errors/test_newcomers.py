"""What people tried who had read only the README, each with what it should do."""

import json
import os
from pathlib import Path

import pytest
from photo_folders import lay
from small_runs import Cli

import cnnkit.cli
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.runs import find

FIT = [
    *("fit", "--name=r", "--model.net.channels=[2,2]", "--model.net.hidden_sizes=[]", "--data.batch_size=64"),
    *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"),
    "--watch=null",
]


def test_a_run_that_never_validates_keeps_its_last_epoch(cli: Cli) -> None:
    ended = cli(*FIT, "--trainer.max_epochs=2", "--trainer.check_val_every_n_epoch=9")
    assert ended.code == 0
    assert "nothing was validated" in ended.out
    run = find("runs/r")
    assert run.last.exists()
    assert cli("test", "--run", "runs/r").code == 0
    resumed = cli("fit", "--resume", "runs/r", "--trainer.max_epochs=3")
    assert resumed.code == 0
    assert "as the run began" in resumed.out  # nobody asked for the precision
    assert len(run.metrics.read_text().splitlines()) >= 4


def test_the_table_of_runs_knows_who_was_killed(cli: Cli) -> None:
    assert cli(*FIT, "--trainer.max_epochs=1").code == 0
    file = find("runs/r").manifest_file
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "running"}))
    assert "killed" in cli("runs").out
    ended = cli("runs", "--where", "net=")
    assert (ended.code, "--where 'net=': write a condition such as" in ended.err) == (2, True)


def test_scores_of_a_part_of_the_test_set_are_called_so(cli: Cli) -> None:
    assert cli(*FIT, "--trainer.max_epochs=1").code == 0
    ended = cli("test", "--run", "runs/r", "--trainer.limit_test_batches=1")
    assert "scores of a part of the images (trainer.limit_test_batches is 1), so not recorded" in ended.out
    manifest = find("runs/r").manifest()
    assert "test" not in manifest
    assert manifest["test_looks"] == 1  # it is a look all the same


def test_a_script_that_is_started_again_for_another_device_runs_one_of_its_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cnnkit.cli, "_LAUNCHED_BY", "2")
    monkeypatch.setattr(cnnkit.cli, "_commands", 0)
    said = []
    for _ in range(3):
        assert cnnkit.cli.main(["--version"]) == 0
        said.append(capsys.readouterr().out)
    assert [bool(text) for text in said] == [False, True, False]


def test_keys_in_a_file_may_be_written_with_dots(cli: Cli) -> None:
    Path("a.yaml").write_text("model: {init_args: {optimizer: {class_path: SGD, init_args: {lr: 0.1}}}}\n")
    Path("b.yaml").write_text("model.optimizer.lr: 0.5\ndata.batch_size: 32\n")
    ended = cli("fit", "--config", "a.yaml", "--config", "b.yaml", "--print_config")
    assert ended.code == 0
    assert "lr: 0.5" in ended.out
    assert "batch_size: 32" in ended.out


def test_small_things_are_said(cli: Cli) -> None:
    assert cli(*FIT, "--trainer.max_epochs=1", "--trainer.accumulate_grad_batches=100").err.count("of a mean grad") == 1
    lay(["photos/a.png"])
    ended = cli("predict", "--run", "runs/r", "--images", "photos/a.png", "photos/a.png")
    assert "photos/a.png: 1 named before, and done once" in ended.err
    for command in ("explain", "report"):
        ended = cli(command, "--run", "runs/r", "--ckpt_path", "last")
        assert f"--ckpt_path: {command} takes the run's best checkpoint; leave it out" in ended.err
    ended = cli(*FIT, "--trainer.max_epochs=1", "--trainer.enable_checkpointing=false")
    assert "no validation gave a finite number" not in ended.out


OWN = """from torch import nn
from cnnkit.tasks import ClassificationTask

def untyped(in_channels, num_classes, image_size):
    return nn.Flatten()

class Nothing(ClassificationTask):
    def compute_loss(self, batch):
        return None

class LossAlone(ClassificationTask):
    def compute_loss(self, batch):
        return super().compute_loss(batch)[0]
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--model.net=newcomers_own.untyped"],
            "untyped is a function that does not say what it returns",
        ),
        (["--model=newcomers_own.Nothing"], "Nothing.compute_loss returns NoneType: return two tensors"),
        (["--model=newcomers_own.LossAlone"], "LossAlone.compute_loss returns Tensor: return two tensors"),
        (["--fast_dev_run"], "--fast_dev_run: needs a value after it; did you mean --trainer.fast_dev_run?"),
        (["--watch=true"], "watch: True is no part of the dashboards; give null for none"),
    ],
)
def test_own_code_and_short_habits(cli: Cli, words: list[str], told: str) -> None:
    Path("newcomers_own.py").write_text(OWN)
    ended = cli(*(word for word in FIT if "net" not in word and "watch" not in word), *words)
    assert ended.code == 2
    assert told in ended.err
    assert not Path("runs").exists() or not list(Path("runs").glob("*/*"))


def test_a_number_is_compared_with_a_number(cli: Cli) -> None:
    assert cli(*FIT, "--trainer.max_epochs=1").code == 0
    ended = cli("runs", "--where", "model.optimizer.lr<abc")
    assert (ended.code, "model.optimizer.lr is a number; give one" in ended.err) == (2, True)


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="a named pipe, where a file is needed"), writing_output(pipe) as file:
        file.write(b"lost")
    assert pipe.is_fifo()
    with writing_output(tmp_path / "new/a.png") as file:
        file.write(b"kept")
    assert (tmp_path / "new/a.png").read_bytes() == b"kept"
