"""Callbacks of Lightning and of a user's own beside ours: each acts, or one line says why not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, LearningRateFinder, TQDMProgressBar
from small_runs import SMALL, Cli

from cnnkit.callbacks import SpikeDetection, load_checkpoint
from cnnkit.cli.fit.callbacks import select_for_command
from cnnkit.runs import RunFolder


def add(name: str, *arguments: str) -> list[str]:
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{argument}" for argument in arguments)]


def test_a_checkpoint_of_a_user_adds_to_ours_and_printed_commands_work(fit: Callable[..., RunFolder], cli: Cli) -> None:
    words = add("ModelCheckpoint", "monitor=val/acc", "mode=max", "save_top_k=2", "filename=mine")
    run = fit(*words, "--trainer.max_epochs=2")
    names = {path.name for path in run.checkpoints.iterdir()}
    assert {"best.ckpt", "last.ckpt"} < names
    assert any(name.startswith("mine") for name in names)
    assert run.manifest()["best"]["val/acc"] > 0
    assert cli("test", "--run", str(run), "--trainer.limit_test_batches=1").code == 0
    assert cli("fit", "--resume", str(run), "--trainer.max_epochs=3").code == 0
    assert run.manifest()["epochs"] == 3


def test_a_resume_with_averaged_weights_says_no_more_than_another(fit: Callable[..., RunFolder], cli: Cli) -> None:
    run = fit(*add("EMA", "decay=0.5"))
    ended = cli("fit", "--resume", str(run), "--trainer.max_epochs=2")
    assert (ended.code, ended.err) == (0, "")


def test_defaults_that_no_yaml_holds_are_left_to_the_class(fit: Callable[..., RunFolder], cli: Cli) -> None:
    run = fit(*add("Timer", "duration=00:00:10:00"), *add("ModelPruning", "pruning_fn=l1_unstructured"))
    timer, pruning = yaml.safe_load(run.config.read_text())["trainer"]["callbacks"]
    assert timer["init_args"]["interval"] == "step"
    assert pruning["init_args"]["pruning_fn"] == "l1_unstructured"
    # Pruning, half of all weights, works in the memory format that torch cannot view as flat.
    weights = [w for n, w in load_checkpoint(run.last)["state_dict"].items() if n.endswith("weight")]
    zeros = sum(int((w == 0).sum()) for w in weights)
    assert zeros > 0.4 * sum(w.numel() for w in weights)
    assert cli("fit", "--resume", str(run), "--trainer.max_epochs=2").code == 0


@pytest.mark.parametrize("more", [[], ["--trainer.callbacks.prune_on_train_epoch_end=false"]])
def test_the_pruned_net_is_the_one_that_is_scored(fit: Callable[..., RunFolder], cli: Cli, more: list[str]) -> None:
    words = [*add("ModelPruning", "pruning_fn=l1_unstructured", "amount=0.7"), *more]
    run = fit(*words, "--trainer.max_epochs=2", "--monitor=val/loss", "--data.val_size=300")
    trained = run.manifest()
    assert cli("validate", "--run", str(run), "--ckpt_path=last").code == 0
    assert cli("validate", "--run", str(run)).code == 0
    scored = run.manifest()
    assert scored["validate"]["val/loss"] == pytest.approx(trained["best"]["val/loss"], rel=1e-5)
    of_last = next(each for each in scored["other_scores"] if each["checkpoint"] == "last.ckpt")
    assert of_last["scores"]["val/loss"] == pytest.approx(trained["last"]["val/loss"], rel=1e-5)
    weight = load_checkpoint(run.last)["state_dict"]["net.features.0.weight"]
    assert (weight == 0).any()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (add("StochasticWeightAveraging", "swa_lrs=0.01"), "StochasticWeightAveraging puts the average into the net"),
        (
            add("EMAWeightAveraging", "update_starting_at_step=2"),
            "EMAWeightAveraging that starts late, or updates seldom, validates and saves a net that is hardly trained",
        ),
        (add("EMAWeightAveraging", "update_every_n_steps=2"), "EMAWeightAveraging that starts late, or updates seldom"),
        (
            add("lightning.pytorch.callbacks.ModelPruning", "pruning_fn=l1_unstructured"),
            "so that the net which is saved has not been scored; write ModelPruning alone",
        ),
        ([*add("Timer", "duration=00:00:01:00"), "--trainer.max_time=00:00:01:00"], "Timer and trainer.max_time"),
        (add("BackboneFinetuning"), "BackboneFinetuning: 'ClassificationTask' object has no attribute 'backbone'"),
        (add("BaseFinetuning"), "BaseFinetuning: a base class"),
        (add("broken_callback.Broken"), "Broken: not today"),
    ],
)
def test_a_callback_that_cannot_act_is_refused(cli: Cli, tmp_path: Path, words: list[str], reason: str) -> None:
    (tmp_path / "broken_callback.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n\n\n"
        "class Broken(Callback):\n    def on_fit_start(self, trainer, pl_module):\n        raise OSError('not today')\n"
    )
    ended = cli("fit", *SMALL, *words)
    assert ended.code == 2, ended.err
    assert ended.err.startswith("error: trainer.callbacks: ")
    assert reason in ended.err
    assert len((ended.out + ended.err).splitlines()) <= 3
    assert not Path("runs").exists()


def test_only_what_acts_there_goes_into_a_test() -> None:
    class Watches(EarlyStopping):
        def on_test_end(self, trainer: object, pl_module: object) -> None:
            """Has something to do in a test."""

    stops, watches = EarlyStopping("val/loss"), Watches("val/loss")
    given = [stops, watches, LearningRateFinder(), TQDMProgressBar()]
    assert select_for_command(given, "test", terminal=False) == [watches]
    assert select_for_command(given, "test", terminal=True) == [watches, given[3]]


def test_spike_detection_goes_on_where_it_was() -> None:
    before, after = SpikeDetection(), SpikeDetection()
    for loss in (2.0, 4.0):
        before._update_stats(torch.tensor(loss))
    after.load_state_dict(before.state_dict())
    assert after.last_val == 4.0


def test_a_run_that_a_callback_ends_before_its_first_step_is_none(cli: Cli, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        ended = cli("fit", *SMALL, *add("Timer", "duration=00:00:00:00"))
    assert "Time limit reached" in caplog.text
    assert (ended.code, Path("runs").exists()) == (2, False)
    assert "before the first step" in ended.err
