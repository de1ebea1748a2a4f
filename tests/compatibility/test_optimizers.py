"""Every optimizer of torch.optim and timm.optim: three steps change every weight, or one line says why not."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm.optim
import torch
from compatibility.harness import Attempt, attempt
from compatibility.table import Outcome, judge

Report = Callable[[list[Outcome]], None]
ONE_EPOCH = "--trainer.max_epochs=1"


def classes() -> Iterator[str]:
    for module in (torch.optim, timm.optim):
        for name, value in sorted(vars(module).items()):
            if (
                inspect.isclass(value)
                and issubclass(value, torch.optim.Optimizer)
                and value is not torch.optim.Optimizer
            ):
                yield f"{module.__name__}.{name}"


def weights(run: Attempt) -> dict[str, torch.Tensor]:
    assert run.run is not None
    state = torch.load(run.run.last, weights_only=True)["state_dict"]
    return {name: value for name, value in state.items() if name.startswith("net.")}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    words = ["--model.optimizer=SGD", "--model.optimizer.lr=0.0", ONE_EPOCH]
    return weights(attempt(tmp_path_factory.mktemp("untrained"), words))


def changes_all(before: dict[str, torch.Tensor]) -> Callable[[Attempt], bool]:
    def check(run: Attempt) -> bool:
        after = weights(run)
        assert after.keys() == before.keys()
        return run.steps == 3 and all(
            bool(value.isfinite().all()) and not torch.equal(value, before[name]) for name, value in after.items()
        )

    return check


def lr_words(name: str) -> list[str]:
    module, _, short = name.rpartition(".")
    cls = getattr(torch.optim if module == "torch.optim" else timm.optim, short)
    return ["--model.optimizer.lr=0.001"] if "lr" in inspect.signature(cls).parameters else []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(classes()))
def test_an_optimizer_by_its_class(
    name: str, tmp_path: Path, report: Report, untrained: dict[str, torch.Tensor]
) -> None:
    end = attempt(tmp_path, [f"--model.optimizer={name}", *lr_words(name), ONE_EPOCH])
    report([judge("Optimizers", name, "three steps", end, changes_all(untrained), named="model.optimizer")])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", timm.optim.list_optimizers())
def test_an_optimizer_by_timms_name(
    name: str, tmp_path: Path, report: Report, untrained: dict[str, torch.Tensor]
) -> None:
    words = ["--model.optimizer=TimmOptimizer", f"--model.optimizer.name={name}", "--model.optimizer.lr=0.001"]
    end = attempt(tmp_path, [*words, ONE_EPOCH])
    setting = f"name: {name}"
    report([judge("Optimizers of timm by name", name, setting, end, changes_all(untrained), named="model.optimizer")])


@pytest.mark.parametrize("name", ["torch.optim.LBFGS", "timm.optim.AdamP", "timm.optim.Muon", "timm.optim.Adahessian"])
def test_four_that_want_something_special(name: str, tmp_path: Path, untrained: dict[str, torch.Tensor]) -> None:
    """Contiguous weights, matrices, second derivatives."""
    end = attempt(tmp_path, [f"--model.optimizer={name}", *lr_words(name), ONE_EPOCH, "--trainer.gradient_clip_val=1"])
    assert judge("", name, "", end, changes_all(untrained), named="model.optimizer").result == "works", end.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SparseAdam"], "SparseAdam fails on its first step: SparseAdam does not support dense gradients"),
        (["torch.optim.Muon"], "Muon only supports 2D parameters"),
        (["timm.optim.SGDP"], "model.optimizer.lr: is required and was not given; add --model.optimizer.lr"),
        (["timm.optim.Lookahead"], "it wraps an optimizer, which Python can"),
        (
            ["TimmOptimizer", "--model.optimizer.name=muonn"],
            "model.optimizer.name is muonn, which timm does not",
        ),
        (["SGD", "--model.optimizer.lr=-1"], "model.optimizer.lr is -1.0, which SGD refuses: Invalid learning rate"),
        (["SGD", "--model.optimizer.nesterov=true"], "model.optimizer.nesterov is True, which SGD refuses: Nesterov"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(words: list[str], message: str, tmp_path: Path) -> None:
    end = attempt(tmp_path, [f"--model.optimizer={words[0]}", *words[1:]])
    assert judge("", "", "", end, named="model.optimizer").result == "refused", end.err
    assert message in end.err
    assert end.run is None
