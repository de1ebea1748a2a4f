"""Where one class replaces another: what somebody gave stays, the other class's defaults do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import Ended

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def resolved(cli: Callable[..., Ended]) -> Callable[..., dict[str, Any]]:
    def resolve(*words: str) -> dict[str, Any]:
        ended = cli("fit", *words, "--print_config")
        assert ended.code == 0, ended.err
        found: dict[str, Any] = yaml.safe_load(ended.out)
        return found

    return resolve


def test_a_data_set_is_split_by_its_own_default_not_the_samples(resolved: Callable[..., dict[str, Any]]) -> None:
    assert resolved("--config", str(CONFIGS / "mnist_lenet5.yaml"))["data"]["init_args"]["val_size"] == 5000
    assert resolved("--data=CIFAR10")["data"]["init_args"]["val_size"] == 5000
    assert resolved()["data"]["init_args"]["val_size"] == 1000


def test_a_net_has_its_own_default_sizes(resolved: Callable[..., dict[str, Any]]) -> None:
    net = resolved("--model.net=MLP")["model"]["init_args"]["net"]
    assert net["init_args"]["hidden_sizes"] == [1000]
    net = resolved(f"--config={CONFIGS / 'fashion_mnist_cnn.yaml'}", "--model.net=MLP")["model"]["init_args"]["net"]
    assert net["init_args"]["hidden_sizes"] == [1000]


def test_an_optimizer_gets_no_decay_that_nobody_asked_for(
    cli: Callable[..., Ended], resolved: Callable[..., dict[str, Any]]
) -> None:
    Path("c.yaml").write_text("model: {init_args: {optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.5}}}}")
    arguments = resolved("--config=c.yaml", "--model.optimizer=SGD")["model"]["init_args"]["optimizer"]["init_args"]
    assert (arguments["weight_decay"], arguments["lr"]) == (0.0, 0.5)


def test_a_subclass_of_the_task_keeps_what_the_file_says(
    cli: Callable[..., Ended], resolved: Callable[..., dict[str, Any]]
) -> None:
    Path("renamed.py").write_text(
        "from cnnkit import ClassificationTask\n\nclass Mine(ClassificationTask):\n    pass\n"
    )
    config = f"--config={CONFIGS / 'quickstart.yaml'}"
    ours, mine = (resolved(config, *words)["model"]["init_args"] for words in ([], ["--model=renamed.Mine"]))
    assert mine == ours
    assert mine["scheduler"]["class_path"].endswith("WarmupCosineLR")
