"""TensorBoard's HParams table: what it opens on, and the score that a test adds."""

import shutil
from pathlib import Path

import pytest
from small_runs import Cli
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnnkit.runs import RunFolder, find


def read_events(run: RunFolder) -> EventAccumulator:
    found = EventAccumulator(str(run.path))
    found.Reload()
    return found


def test_the_table_opens_on_rate_net_and_scores(trained_once: RunFolder) -> None:
    data = HParamsPluginData()
    content = read_events(trained_once).summary_metadata["_hparams_/experiment"].plugin_data.content
    data.ParseFromString(content)
    settings = [info.name for info in data.experiment.hparam_infos]
    first = ["model.optimizer.lr", "model.net", "model.optimizer", "trainer.max_epochs", "data.batch_size"]
    assert settings[:5] == first
    assert len(settings) == len(set(settings)) > 15
    metrics = [info.name.tag for info in data.experiment.metric_infos]
    assert metrics[:4] == ["hp/test_acc", "hp/val_acc", "val/acc", "val/loss"]


def test_a_test_adds_its_score(trained_once: RunFolder, cli: Cli) -> None:
    shutil.copytree(trained_once.path, Path("runs/small", trained_once.path.name))
    run = find("runs/small")
    assert "hp/test_acc" not in read_events(run).Tags()["scalars"]
    for _ in range(2):
        assert cli("test", "--run", "runs/small").code == 0
    events = read_events(run).Scalars("hp/test_acc")
    assert events[-1].value == pytest.approx(run.manifest()["test"]["test/acc"])
    assert {event.step for event in events} == {run.manifest()["best"]["step"]}
    for file in run.path.glob("events.*"):
        file.unlink()
    assert cli("test", "--run", "runs/small").code == 0  # a run without TensorBoard stays without
    assert not list(run.path.glob("events.*"))
