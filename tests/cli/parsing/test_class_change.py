"""Where one class replaces another: neither its defaults nor what was written for it stay, and a line says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import Cli, CommandResult

CONFIGS = Path(__file__).parents[3] / "configs"
CARD = """\
model:
  init_args:
    net: {class_path: CNN, init_args: {channels: [8], dropout: 0.3}}
    optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.002, weight_decay: 0.05}}
    scheduler: {class_path: WarmupCosineLR, init_args: {warmup: 0.2}}
data: {class_path: FashionMNISTSample, init_args: {batch_size: 64}}
"""
LOST = "note: model.optimizer is SGD now, not AdamW; lr=0.002, weight_decay=0.05 of AdamW are not carried over"


class Resolved(dict[str, Any]):
    """A resolved configuration, its parts by dotted key, and what was said on stderr."""

    def __init__(self, ended: CommandResult) -> None:
        assert ended.code == 0, ended.err
        super().__init__(yaml.safe_load(ended.out))
        self.err = "".join(line for line in ended.err.splitlines(True) if not line.startswith("Seed set"))

    def of(self, key: str) -> Any:
        place: Any = self
        for part in key.split("."):
            place = place.get("init_args", place)[part]
        return place


@pytest.fixture
def resolved(cli: Cli) -> Callable[..., Resolved]:
    Path("c.yaml").write_text(CARD)
    return lambda *words: Resolved(cli("fit", *words, "--print_config"))


def test_a_data_set_is_split_by_its_own_default_not_the_samples(resolved: Callable[..., Resolved]) -> None:
    assert resolved("--config", str(CONFIGS / "mnist_lenet5.yaml")).of("data.val_size") == 5000
    assert resolved("--data=CIFAR10").of("data.val_size") == 5000
    assert resolved().of("data.val_size") == 1000


def test_a_net_has_its_own_default_sizes(resolved: Callable[..., Resolved]) -> None:
    assert resolved("--model.net=MLP").of("model.net.hidden_sizes") == [1000]
    assert resolved("--config=c.yaml", "--model.net=MLP").of("model.net.hidden_sizes") == [1000]


@pytest.mark.parametrize(
    "words",
    ["--config=c.yaml --model.optimizer=torch.optim.SGD", "--config=c.yaml --config=sgd.yaml", "--model.optimizer SGD"],
)
def test_nothing_of_the_optimizer_before_stays_and_one_line_says_so(
    resolved: Callable[..., Resolved], words: str
) -> None:
    Path("sgd.yaml").write_text("model: {init_args: {optimizer: torch.optim.SGD}}")
    found = resolved(*words.split())
    optimizer = found.of("model.optimizer")
    assert optimizer["class_path"] == "torch.optim.SGD"
    assert (optimizer["init_args"]["weight_decay"], optimizer["init_args"]["lr"]) == (0.0, 0.001)
    carried = "c.yaml" in words
    assert found.err.startswith(LOST) == carried
    assert len(found.err.splitlines()) == int(carried)


def test_adam_has_no_decay_although_adamw_is_a_subclass_of_it(resolved: Callable[..., Resolved]) -> None:
    arguments = resolved("--config=c.yaml", "--model.optimizer=Adam").of("model.optimizer")["init_args"]
    assert (arguments["weight_decay"], arguments["lr"]) == (0.0, 0.001)


def test_what_is_given_for_the_new_class_counts_wherever_it_stands(resolved: Callable[..., Resolved]) -> None:
    for words in (
        ["--model.optimizer", "SGD", "--model.optimizer.lr", "0.1"],
        ["--model.optimizer.lr", "0.1", "--model.optimizer", "SGD"],
    ):
        found = resolved("--config=c.yaml", *words)
        assert found.of("model.optimizer")["class_path"] == "torch.optim.SGD"
        assert (found.of("model.optimizer.lr"), found.of("model.optimizer.weight_decay")) == (0.1, 0.0)
        assert "weight_decay=0.05 of AdamW is not carried over" in found.err
        assert "lr=" not in found.err  # given again, so not lost


def test_keeping_is_asked_for_with_a_plus(resolved: Callable[..., Resolved]) -> None:
    Path("keep.yaml").write_text("model: {init_args: {optimizer+: torch.optim.SGD}}")
    for words in (["--model.optimizer+=torch.optim.SGD"], ["--config=keep.yaml"]):
        found = resolved("--config=c.yaml", *words)
        assert found.of("model.optimizer")["class_path"] == "torch.optim.SGD"
        assert (found.of("model.optimizer.lr"), found.of("model.optimizer.weight_decay")) == (0.002, 0.05)
        assert found.err == ""
    found = resolved("--config=c.yaml", "--model.net+=MLP")
    assert found.of("model.net.dropout") == 0.3
    assert found.err == "note: model.net is MLP now, not CNN; channels=[8] of CNN is not carried over\n"


def test_a_plus_appends_to_a_list(resolved: Callable[..., Resolved]) -> None:
    Path("more.yaml").write_text("trainer: {callbacks+: [ModelSummary]}")
    names = [
        callback["class_path"].rsplit(".", 1)[-1]
        for callback in resolved(
            "--config=more.yaml",
            "--trainer.callbacks+=EMA",
            "--trainer.callbacks.decay=0.5",
            "--trainer.callbacks+",
            "ModelSummary",
        ).of("trainer.callbacks")
    ]
    assert names == ["ModelSummary", "EMA", "ModelSummary"]


def test_other_classes_are_changed_by_the_same_rule(resolved: Callable[..., Resolved]) -> None:
    found = resolved("--config=c.yaml", "--model.scheduler=TriangleLR", "--data=CIFAR10")
    assert "warmup=0.2 of WarmupCosineLR is not carried over" in found.err
    assert "note: data is CIFAR10 now, not FashionMNISTSample; batch_size=64 of FashionMNISTSample is not" in found.err
    assert found.of("data.batch_size") == 128


def test_the_same_class_by_another_name_is_no_change(resolved: Callable[..., Resolved]) -> None:
    found = resolved("--config=c.yaml", "--model.optimizer=AdamW", "--model=cnnkit.ClassificationTask")
    assert (found.of("model.optimizer.lr"), found.of("model.optimizer.weight_decay")) == (0.002, 0.05)
    assert found.of("model.net.channels") == [8]
    assert found.err == ""


def test_a_subclass_of_the_task_keeps_the_arguments_that_are_the_same_and_a_line_says_so(
    resolved: Callable[..., Resolved],
) -> None:
    Path("renamed.py").write_text(
        "from cnnkit import ClassificationTask\n\nclass Mine(ClassificationTask):\n    pass\n"
    )
    config = f"--config={CONFIGS / 'quickstart.yaml'}"
    ours, mine = resolved(config), resolved(config, "--model=renamed.Mine")
    assert mine["model"]["init_args"] == ours["model"]["init_args"]
    assert mine.of("model.scheduler")["class_path"].endswith("WarmupCosineLR")
    assert mine.err.startswith("note: model is Mine now, not ClassificationTask; net, optimizer, scheduler, the same")
    assert len(mine.err.splitlines()) == 1


def test_a_study_says_which_variants_lose_arguments(cli: Cli) -> None:
    Path("c.yaml").write_text(CARD)
    Path("s").mkdir()
    Path("s/study.yaml").write_text(
        "question: which?\nconfig: c.yaml\nfactors: {model.optimizer: [torch.optim.SGD, torch.optim.AdamW]}\nseeds: 1\n"
    )
    ended = cli("study", "s", "--dry_run")
    assert ended.code == 0, ended.err
    assert next(line for line in ended.err.splitlines() if "note: " in line).startswith(f"torch.optim.SGD: {LOST}")
    assert "AdamW now" not in ended.err
