"""``find-lr``: which rates are varied, what the curve says, and what is left behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SMALL_NET, Cli

from cnnkit.cli.commands.find_lr.curve import read_curve
from cnnkit.cli.trial import open_trial
from cnnkit.optim import MuonSGD

SEARCH = ["find-lr", *SMALL_NET, "--data.batch_size=32", "--steps=30"]


def search(cli: Cli, *words: str) -> dict[str, Any]:
    ended = cli(*SEARCH, *words, "--json")
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_a_rate_is_suggested_and_nothing_else_is_written(cli: Cli) -> None:
    Path("card.yaml").write_text("model: {class_path: ClassificationTask, init_args: {scheduler: WarmupCosineLR}}")
    ended = cli(*SEARCH, "--config", "card.yaml", "-o", "pictures/rate.png")
    assert ended.code == 0, ended.err
    lines = dict(line.split(maxsplit=1) for line in ended.out.splitlines() if line.strip())
    assert lines["varied"].startswith("model.optimizer.lr from 1e-06 to")
    rate = float(ended.out.partition("--model.optimizer.lr ")[2].split()[0])
    assert 1e-6 < rate < 10
    assert Image.open("pictures/rate.png").format == "PNG"
    assert sorted(path.name for path in Path().iterdir()) == ["card.yaml", "pictures"]


def test_the_losses_are_those_of_a_training_with_these_rates(cli: Cli) -> None:
    found = search(cli, "--min_lr=1e-4", "--max_lr=1e-2", "--seed_everything=3")
    rates = np.array(found["rates"])
    assert len(rates) == 30
    assert rates[0] == pytest.approx(1e-4)
    assert np.diff(np.log(rates))[1:] == pytest.approx(np.log(100) / 30, rel=1e-3)  # the first one counts twice
    assert search(cli, "--min_lr=1e-4", "--max_lr=1e-2", "--seed_everything=3") == found


@pytest.mark.parametrize("optimizer", ["torch.optim.SGD", "torch.optim.AdamW", "torch.optim.LBFGS", "timm.optim.Lamb"])
def test_other_optimizers_have_a_rate_to_find(cli: Cli, optimizer: str) -> None:
    found = search(cli, f"--model.optimizer={optimizer}")
    assert found["use"][0].startswith("--model.optimizer.lr ")


def test_the_groups_keep_their_ratios(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    step = MuonSGD.step

    def watched(self: MuonSGD, closure: Any = None) -> Any:
        if len(self.state):  # not the trial of one parameter a shape
            seen.append([group["lr"] for group in self.param_groups])
        return step(self, closure)

    monkeypatch.setattr(MuonSGD, "step", watched)
    rates = ["--model.optimizer.lr=0.2", "--model.optimizer.matrix_lr=0.02", "--model.optimizer.vector_lr=4"]
    found = search(cli, "--model.optimizer=MuonSGD", *rates)
    searched = np.array(seen[-25:])
    assert np.ptp(searched[:, 0]) > 0
    ratios = {tuple(np.round(row / row[0], 6)) for row in searched}
    assert ratios == {(1.0, 0.1, 20.0)}
    values = [float(word.split()[1]) for word in found["use"]]
    assert values == pytest.approx([found["suggestion"] * ratio for ratio in (1, 0.1, 20)], rel=0.05)
    assert [word.split()[0].rpartition(".")[2] for word in found["use"]] == ["lr", "matrix_lr", "vector_lr"]


def test_a_schedule_that_sets_the_rate_gets_it_as_its_own(cli: Cli) -> None:
    schedule = "--model.scheduler=torch.optim.lr_scheduler.OneCycleLR"
    found = search(cli, schedule, "--model.scheduler.max_lr=0.1", "--model.scheduler.total_steps=40")
    assert found["use"][0].startswith("--model.scheduler.max_lr ")


def test_the_steepest_rate_is_where_the_slope_is(cli: Cli) -> None:
    x = np.linspace(-6, 0, 200)
    losses = 3 - 2 / (1 + np.exp(-4 * (x + 3))) + np.where(x > -1, 5 * (x + 1) ** 2, 0)
    found = read_curve(10**x, losses, diverged=True)
    assert np.log10(found.steepest) == pytest.approx(-3, abs=0.1)
    assert np.log10(found.suggested) == pytest.approx(x[losses.argmin()], abs=0.3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--steps 5", "5 finite losses, too few to read"),
        ("--min_lr 1 --max_lr 0.1", "--min_lr is 1 and --max_lr 0.1"),
        ("--min_lr -1", "--min_lr: expected a number above 0"),
        ("--steps 0", "--steps: expected a whole number from 1 on"),
        ("-o rate.jpg", "give a file that ends in .png"),
        ("--trainer.fast_dev_run true", "trainer.fast_dev_run is true: a search needs whole epochs"),
        ("--model.optimizer.lr 0", "has no lr above 0"),
        ("--model.net Nothing", "Nothing"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_line(cli: Cli, words: str, said: str) -> None:
    ended = cli(*SEARCH, *words.split())
    assert ended.code == 2, ended.out
    assert said in ended.err
    assert len([line for line in ended.err.splitlines() if line.startswith("error")]) == 1
    assert not list(Path().iterdir())


def test_callbacks_that_set_up_take_part(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--model.net.channels=[9,8]", "--trainer.callbacks+=Whitening", "--trainer.callbacks.images=100"]
    with open_trial([*words, "--model.net.hidden_sizes=[]", "--model.net.kernel_size=3"], 1) as trial:
        before = next(trial.task.net.parameters()).clone()
        trial.trainer.limit_train_batches = 1
        trial.trainer.fit(trial.task, trial.data)
        first = next(trial.task.net.parameters())
        assert not first.requires_grad
        assert not torch.equal(first, before)
