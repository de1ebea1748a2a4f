"""What `fit --resume RUN --key value` accepts and what it refuses; nothing on disk is touched before."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from small_runs import Cli

from cnnkit.cli import main
from cnnkit.cli.help import FIT
from cnnkit.runs import RunFolder, find
from cnnkit.runs.keys import list_may_change


@pytest.fixture
def run(cli: Cli, trained_once: RunFolder) -> RunFolder:
    """A run of two epochs, of three steps each."""
    shutil.copytree(trained_once.path, "runs/a/1")
    return RunFolder(Path("runs/a/1"))


def contents(run: RunFolder) -> dict[str, bytes]:
    files = (file for file in run.path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.optimizer.lr=0.5"], r"model\.optimizer\.lr is 0\.001 in runs/a/1 and cannot become 0\.5"),
        (["--model.net.channels=[4,4]"], r"model\.net\.channels is \[4, 8\] in runs/a/1 and cannot become \[4, 4\]"),
        (["--data.batch_size", "16"], r"data\.batch_size is 32 in runs/a/1 and cannot become 16"),
        (["--model.net=MLP"], r"model\.net is 'cnnkit.*CNN' in runs/a/1 and cannot become .*MLP.*more differ"),
        (["--model.net=MLP"], r"more differ: (model\.net\.\w+, ){4}\.\.\.\)"),
        (["--config=more.yaml"], r"seed_everything is 0 in runs/a/1 and cannot become 7"),
        (["--trainer.accumulate_grad_batches=2"], r"trainer\.accumulate_grad_batches is 1"),
        (["--name=b"], r"name is 'small' in runs/a/1 and cannot become 'b': a resumed run stays in its folder"),
        (["--trainer.max_epochs=1"], r"trainer\.max_epochs is 1, but runs/a/1 is in epoch 2 already"),
    ],
)
def test_what_would_make_it_another_run_is_refused_and_nothing_is_touched(
    cli: Cli, run: RunFolder, words: list[str], said: str
) -> None:
    Path("more.yaml").write_text("seed_everything: 7\n")
    before = contents(run)
    ended = cli("fit", "--resume", "runs/a/1", *words)
    assert ended.code == 2, ended.err
    assert re.search(said, ended.err), ended.err
    assert len(ended.err.splitlines()) <= 3
    assert contents(run) == before


def test_the_way_out_that_is_printed_works(cli: Cli, run: RunFolder) -> None:
    ended = cli("fit", "--resume", "runs/a/1", "--model.optimizer.lr=0", "--name=b c".replace(" ", "_"))
    line = ended.err.splitlines()[-1]
    assert line.startswith("for a new run from these weights: cnnkit fit --config runs/a/1/config.yaml")
    words = shlex.split(line.split("cnnkit ")[1])
    assert main([*words, "--trainer.max_epochs=1", "--trainer.limit_val_batches=1"]) == 0
    new = find("runs/b_c")
    assert yaml.safe_load(new.config.read_text())["weights"] == str(run.last)
    old_weights, weights = (torch.load(r.last, weights_only=True)["state_dict"] for r in (run, new))
    trained = [key for key in weights if key.startswith("net.") and "running" not in key and "num_b" not in key]
    assert trained  # at a rate of 0 they are where they started
    assert all(torch.equal(weights[key], old_weights[key]) for key in trained)


def test_what_may_change_takes_effect_and_is_recorded(cli: Cli, run: RunFolder) -> None:
    Path("more.yaml").write_text("data:\n  eval_batch_size: 500\n")
    words = ["--trainer.max_epochs=3", "--data.num_workers=1", "--config=more.yaml", "--trainer.limit_val_batches=2"]
    ended = cli("fit", "--resume", "runs/a/1", *words)
    assert ended.code == 0, ended.err
    config = yaml.safe_load(run.config.read_text())
    assert config["trainer"]["max_epochs"] == 3
    assert config["data"]["init_args"]["num_workers"] == 1
    changes = run.manifest()["resumes"][-1]["changes"]
    assert changes == {
        "trainer.max_epochs": [2, 3],
        "data.num_workers": [0, 1],
        "data.eval_batch_size": [1000, 500],
        "trainer.limit_val_batches": [None, 2],
    }
    assert run.manifest()["steps"] == 9


def test_a_resume_of_an_unchanged_run_leaves_its_configuration_alone(cli: Cli, run: RunFolder) -> None:
    run.config.write_text(run.config.read_text() + "# a note of mine\n")
    before = run.config.read_bytes()
    assert cli("fit", "--resume", "runs/a/1").code == 0
    assert run.config.read_bytes() == before


def test_data_may_lie_elsewhere_but_must_be_the_same(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    assert cli("fit", "--resume", "runs/a/1", f"--data.data_dir={tmp_path}/moved").code == 0
    fingerprint = run.manifest()["data"]["fingerprint"]
    run.update_manifest(data={"fingerprint": "0123"})
    before = contents(run)
    ended = cli("fit", "--resume", "runs/a/1", "--trainer.max_epochs=3")
    assert (ended.code, contents(run)) == (2, before)
    assert f"had the fingerprint 0123, now it is {fingerprint}" in ended.err


def test_a_net_whose_code_was_changed_is_told_with_both_shapes(cli: Cli, run: RunFolder) -> None:
    checkpoint = torch.load(run.last, weights_only=True)
    name = next(key for key in checkpoint["state_dict"] if key.endswith("weight"))
    shape = tuple(checkpoint["state_dict"][name].shape)
    checkpoint["state_dict"][name] = torch.zeros(5, 5)
    torch.save(checkpoint, run.last)
    before = contents(run)
    ended = cli("fit", "--resume", "runs/a/1", "--trainer.max_epochs=3")
    assert (ended.code, contents(run)) == (2, before)
    assert f"its {name} is (5, 5), the net's is {shape}" in ended.err


def test_a_checkpoint_is_no_option_of_a_new_run(cli: Cli, run: RunFolder) -> None:
    ended = cli("fit", "--config", str(run.config), "--ckpt_path", str(run.last))
    assert ended.code == 2
    assert "--weights FILE" in ended.err


def test_the_published_list_is_in_the_help_and_in_the_documents() -> None:
    page = (Path(__file__).parents[3] / "docs/reliability.md").read_text()
    assert list_may_change() in FIT
    assert list_may_change() in page
