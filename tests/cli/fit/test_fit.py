import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from small_runs import SMALL, Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnnkit.data import FashionMNISTSample
from cnnkit.runs import RunFolder, find


@pytest.fixture(scope="session")
def events(trained_once: RunFolder) -> EventAccumulator:
    return EventAccumulator(str(trained_once.path)).Reload()


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return torch.load(run.last, weights_only=True)["state_dict"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_manifest_tells_what_ran_on_what_and_what_came_out(trained_once: RunFolder) -> None:
    manifest = json.loads(trained_once.manifest_file.read_text())
    facts = FashionMNISTSample().describe()
    assert manifest["command"].startswith("cnnkit fit '--model.net.channels=[4,8]'")
    assert {"python", "torch", "lightning", "cnnkit"} <= manifest["versions"].keys()
    assert manifest["data"]["fingerprint"] == facts["fingerprint"]
    assert manifest["data"]["split"] == facts["split"]
    assert manifest["seed"] == 0
    assert manifest["precision"] == {"value": "32-true", "reason": "set by CNNKIT_PRECISION"}
    assert manifest["device"]["devices"] == 1
    assert manifest["status"] == "finished"
    assert (manifest["epochs"], manifest["steps"]) == (2, 6)
    assert manifest["times"]["fit_seconds"] >= manifest["times"]["train_seconds"] > 0
    assert manifest["started"] <= manifest["ended"]
    assert {"train/loss", "train/acc", "val/loss", "val/acc"} <= manifest["last"].keys()
    assert manifest["best"]["val/acc"] >= manifest["last"]["val/acc"]
    assert manifest["best"]["epoch"] in (1, 2)


def test_metrics_csv_has_one_row_a_step_in_order(trained_once: RunFolder) -> None:
    with trained_once.metrics.open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps))
    ends = [row for row in rows if row["train/loss"]]
    assert [row["step"] for row in ends] == ["2", "5"]
    assert all(row["val/loss"] and row["val/acc"] and row["images_per_second"] for row in ends)
    assert [row["step"] for row in rows if row["train/loss_step"]] == list("012345")


def test_tensorboard_has_scalars_images_graph_and_hparams(trained_once: RunFolder, events: EventAccumulator) -> None:
    tags = events.Tags()
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "lr-Adam", "images_per_second"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("val/acc")] == [2, 5]
    assert tags["graph"] is True
    picture = events.Images("train/augmented")
    assert len(picture) == 1
    assert picture[0].width > 100
    score = events.Scalars("hp/val_acc")[-1].value
    assert score == pytest.approx(trained_once.manifest()["best"]["val/acc"])
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= events.summary_metadata.keys()


def test_checkpoints_hold_weights_and_plain_values_alone(trained_once: RunFolder) -> None:
    assert sorted(p.name for p in trained_once.checkpoints.iterdir()) == ["best.ckpt", "last.ckpt"]
    for file in (trained_once.best, trained_once.last):
        torch.load(file, weights_only=True)
    assert torch.load(trained_once.last, weights_only=True)["global_step"] == 6


def test_the_saved_configuration_repeats_the_run_bit_by_bit(cli: Cli, trained_once: RunFolder) -> None:
    assert cli("fit", "--config", str(trained_once.config)).code == 0
    again = find("runs")
    assert again.path.parent.name == "small"  # the name is in the file
    assert same(weights(again), weights(trained_once))
    assert again.config.read_text().split("\n", 1)[1] == trained_once.config.read_text().split("\n", 1)[1]


def test_another_seed_gives_other_weights(fit: Callable[..., RunFolder]) -> None:
    one, other = fit("--name=a"), fit("--name=b", "--seed_everything=1")
    assert not same(weights(one), weights(other))
    assert one.manifest()["data"]["split"] == other.manifest()["data"]["split"]


def test_the_report_says_what_to_type_next(cli: Cli) -> None:
    ended = cli("fit", *SMALL, "--name=told")
    run = find("runs/told")
    assert f"cnnkit test --run {Path('runs/told') / run.path.name}" in ended.out
    assert "tensorboard --logdir runs/told" in ended.out
    assert "best validation accuracy" in ended.out
    assert f"{run.manifest()['best']['val/acc']:.2%} in epoch 1" in ended.out
    assert ended.err == ""


def test_the_report_calls_the_highest_loss_the_highest_where_a_run_asked_for_it(
    cli: Cli,
) -> None:
    ended = cli("fit", *SMALL, "--monitor=val/loss", "--mode=max", "--name=upside")
    assert "highest validation loss" in ended.out
    assert "lowest" not in ended.out
    assert "highest validation loss" in cli("report", "--run", "runs/upside").out + "".join(
        page.read_text() for page in Path("runs").rglob("*.html")
    )


def test_files_are_merged_and_the_command_line_wins_wherever_it_stands(cli: Cli) -> None:
    Path("a.yaml").write_text("trainer: {max_epochs: 7}\ndata: {init_args: {batch_size: 16}}\n")
    Path("b.yaml").write_text("trainer: {max_epochs: 5}\n")
    ended = cli("fit", "--trainer.max_epochs=2", "--config", "a.yaml", "-c=b.yaml", "--print_config")
    config = yaml.safe_load(ended.out)
    assert config["trainer"]["max_epochs"] == 2
    assert config["data"]["init_args"]["batch_size"] == 16
    assert not Path("runs").exists()


def test_fast_dev_run_leaves_nothing_behind(cli: Cli) -> None:
    assert cli("fit", *SMALL, "--trainer.fast_dev_run=true").code == 0
    assert not Path("runs").exists()


def test_without_validation_the_last_weights_are_the_best(fit: Callable[..., RunFolder]) -> None:
    run = fit("--data.val_size=0")
    assert [p.name for p in run.checkpoints.iterdir()] == ["last.ckpt"]
    assert run.best == run.last
    assert "best" not in run.manifest()


def test_a_net_that_knows_nothing_of_our_conventions_trains_and_loads(cli: Cli) -> None:
    Path("plain_nets.py").write_text(
        "from torch import nn\n"
        "class Plain(nn.Module):\n"
        "    def __init__(self, num_classes: int = 3):\n"
        "        super().__init__()\n"
        "        self.linear = nn.Linear(784, num_classes)\n"
        "    def forward(self, images):\n"
        "        return self.linear(images.flatten(1))\n"
        "def plain(num_classes: int = 3) -> Plain:\n"
        "    return Plain(num_classes)\n"
    )
    from cnnkit import ClassificationTask

    for name in ("Plain", "plain"):
        ended = cli("fit", "--model.net", f"plain_nets.{name}", "--name", name, *SMALL[3:])
        assert ended.code == 0, ended.err
        task = ClassificationTask.load_from_checkpoint(find(f"runs/{name}").best, weights_only=True)
        assert task.net.linear.out_features == 10
        assert cli("test", "--run", f"runs/{name}", "--trainer.limit_test_batches=1").code == 0
