"""cnnkit.fit of objects: the run of the command, from the weights that the objects have."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v3_small, squeezenet1_1

import cnnkit
from cnnkit import CNN, ClassificationTask, FashionMNISTSample, TrainedRun, TransferTask, from_arrays
from cnnkit.cli import main
from cnnkit.config_files.yaml_files import read_dump
from cnnkit.optim import WarmupCosineLR
from cnnkit.transforms import MixUp, RandomCrop

FEW: dict[str, Any] = {
    "trainer.limit_train_batches": 3,
    "trainer.limit_val_batches": 1,
    "trainer.max_epochs": 1,
    "trainer.enable_progress_bar": False,
    "trainer.precision": "32-true",
    "watch": None,
}


class KeptNet(nn.Module):
    """Keeps what its constructor needs, but not what the data say."""

    def __init__(self, in_channels: int = 1, num_classes: int = 10, width: int = 4, drop: float = 0.1) -> None:
        super().__init__()
        self.width, self.drop = width, drop
        self.conv, self.head = nn.Conv2d(in_channels, width, 5, 2), nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.dropout(self.conv(images).relu().mean((2, 3)), self.drop, self.training))


class ScaledTask(ClassificationTask):
    """Changes the loss by a factor."""

    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def compute_loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        loss, logits = super().compute_loss(batch)
        return self.factor * loss, logits


class Counts(Callback):
    """Counts steps."""

    def __init__(self, step: int = 1) -> None:
        self.step, self.count = step, 0

    def on_train_batch_end(self, *args: Any) -> None:
        self.count += self.step


def load_weights(run: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def without_times(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def make_task() -> ClassificationTask:
    L.seed_everything(0)
    net = CNN(1, 10, 28, channels=(4, 8), hidden_sizes=(16,), dropout=0.2)
    sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    return ClassificationTask(net, optimizer=sgd, scheduler=WarmupCosineLR, label_smoothing=0.1)


def make_data() -> FashionMNISTSample:
    return FashionMNISTSample(batch_size=32, augment=[RandomCrop(padding=3), MixUp(0.2)], eval_batch_size=200)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedRun, TrainedRun, ClassificationTask]:
    """The run of objects, that of the command with its configuration, each then resumed; and the trained task."""
    root, task = tmp_path_factory.mktemp("objects"), make_task()
    run = cnnkit.fit(task=task, data=make_data(), name="ours", **FEW, **{"trainer.default_root_dir": root})
    words = ["--config", str(run.path / "config.yaml"), "--name", "theirs", "--trainer.default_root_dir", str(root)]
    assert main(["fit", *words]) == 0
    return run, TrainedRun(root / "theirs"), task


def test_it_leaves_the_run_of_the_command(both: tuple[TrainedRun, TrainedRun, ClassificationTask]) -> None:
    run, theirs, task = both
    assert are_equal(load_weights(run.path), load_weights(theirs.path))
    assert without_times(run.metrics) == without_times(theirs.metrics)
    ours, other = (read_dump(each.path / "config.yaml") for each in (run, theirs))
    assert {**ours, "name": ""} == {**other, "name": ""}
    files = [{path.name.partition(".tfevents.")[0] for path in each.path.rglob("*")} for each in (run, theirs)]
    assert files[0] == files[1]
    assert "initial_weights" not in run.manifest
    assert are_equal(task.state_dict(), load_weights(run.path))


def test_a_resume_equals_that_of_the_command(both: tuple[TrainedRun, TrainedRun, ClassificationTask]) -> None:
    run, theirs, _ = both
    longer = cnnkit.fit(resume=run.path, **{"trainer.max_epochs": 2})
    assert main(["fit", "--resume", str(theirs.path), "--trainer.max_epochs", "2"]) == 0
    assert longer.manifest["epochs"] == 2
    assert are_equal(load_weights(run.path), load_weights(theirs.path))


def test_every_command_works_on_it(
    both: tuple[TrainedRun, TrainedRun, ClassificationTask], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, theirs, _ = both
    for path in (run.path, theirs.path):
        assert main(["test", "--run", str(path)]) == 0
    for words in (["report", "--run", str(run.path)], ["compare", str(run.path), str(theirs.path)]):
        assert main(words) == 0, capsys.readouterr().err
    assert len(cnnkit.load(run.path).predict(np.zeros((2, 28, 28, 1), np.uint8))) == 2


def test_a_trained_net_goes_on_from_its_weights(desk: Path) -> None:
    net = CNN(1, 10, 28, channels=(4, 8))
    with torch.no_grad():
        net.head[-1].bias.fill_(7)  # no seed gives this
    before = {name: value.clone() for name, value in net.state_dict().items()}
    still = partial(torch.optim.SGD, lr=0.0)
    run = cnnkit.fit(task=ClassificationTask(net, optimizer=still), data=make_data(), **FEW)
    assert are_equal({name.removeprefix("net."): v for name, v in load_weights(run.path).items()}, before)
    assert len(run.manifest["initial_weights"]["sha256"]) == 64
    moved = cnnkit.fit("quickstart", data=make_data(), **FEW, **{"model.net": net})
    last = [name for name in before if name.endswith("bias")][-1]
    assert (load_weights(moved.path)[f"net.{last}"] > 5).all()
    assert are_equal({f"net.{name}": value for name, value in net.state_dict().items()}, load_weights(moved.path))


def test_own_task_net_and_callback(desk: Path) -> None:
    task, counts = ScaledTask(factor=3.0, net=KeptNet(width=6)), Counts(step=2)
    Path("mine.yaml").write_text("trainer: {callbacks: [{class_path: EMA, init_args: {decay: 0.5}}]}\n")
    added = {"trainer.callbacks+": [counts, {"class_path": "LearningRateMonitor"}]}
    run = cnnkit.fit("mine.yaml", task=task, data=make_data(), **FEW, **added)
    callbacks = read_dump(run.path / "config.yaml")["trainer"]["callbacks"]
    names = [each["class_path"].rpartition(".")[2] for each in callbacks]
    assert names == ["EMA", "Counts", "LearningRateMonitor"]
    config = read_dump(run.path / "config.yaml")["model"]
    assert config["class_path"].endswith("ScaledTask")
    assert config["init_args"]["factor"] == 3.0
    assert config["init_args"]["net"]["init_args"] == {"width": 6, "drop": 0.1}
    assert counts.count == 6  # the object itself was used
    assert 0 <= run.test()["test/acc"] <= 1
    assert isinstance(run.predictor.net, KeptNet)


def test_a_net_of_torchvision_with_another_head(desk: Path) -> None:
    net = squeezenet1_1()
    net.classifier[1], net.num_classes = nn.Conv2d(512, 3, 1), 3
    rng = np.random.default_rng(0)
    data = from_arrays(rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8), np.arange(60) % 3, batch_size=8)
    run = cnnkit.fit(task=ClassificationTask(net), data=data, **FEW)
    assert read_dump(run.path / "config.yaml")["model"]["init_args"]["net"]["class_path"] == (
        "torchvision.models.squeezenet1_1"
    )
    assert are_equal(net.state_dict(), {n.removeprefix("net."): v for n, v in load_weights(run.path).items()})
    assert run.predict(np.zeros((32, 32, 3), np.uint8)).probabilities.shape == (1, 3)
    assert 0 <= run.test()["test/acc"] <= 1


def test_a_transfer_task_keeps_its_frozen_backbone(desk: Path) -> None:
    net = CNN(1, 10, 28, channels=(4, 8))
    before = net.features[0].weight.clone()
    cnnkit.fit(task=TransferTask(net, mode="frozen"), data=make_data(), **FEW)
    assert torch.equal(before, net.features[0].weight)


def test_an_object_replaces_what_a_file_says(desk: Path) -> None:
    run = cnnkit.fit("quickstart", task=make_task(), **FEW)
    config = read_dump(run.path / "config.yaml")
    assert run.path.parent.name == "quickstart"
    assert config["model"]["init_args"]["optimizer"]["init_args"]["momentum"] == 0.9
    Path("mine.yaml").write_text("model.optimizer: {class_path: torch.optim.SGD, init_args: {momentum: 0.9}}\n")
    plain = cnnkit.fit("mine.yaml", data=make_data(), **FEW, **{"model.optimizer": partial(torch.optim.SGD, lr=0.1)})
    assert read_dump(plain.path / "config.yaml")["model"]["init_args"]["optimizer"]["init_args"]["momentum"] == 0


def test_classes_of_a_notebook(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = sys.modules["__main__"]
    own = type("NotebookNet", (KeptNet,), {"__module__": "__main__"})
    monkeypatch.setattr(notebook, "NotebookNet", own, raising=False)
    run = cnnkit.fit(task=ClassificationTask(own()), data=make_data(), **FEW)
    assert "NotebookNet: defined in this notebook" in capsys.readouterr().err
    assert 0 <= run.test()["test/acc"] <= 1
    assert len(run.predict(np.zeros((28, 28), np.uint8))) == 1
    monkeypatch.delattr(notebook, "NotebookNet")
    capsys.readouterr()
    assert main(["test", "--run", str(run.path)]) == 2
    assert "NotebookNet was defined in a notebook or script; put it into a file" in capsys.readouterr().err
    with pytest.raises(cnnkit.errors.UserError, match="NotebookNet, which was defined in the notebook"):
        cnnkit.load(run.path)
    assert main(["report", "--run", str(run.path)]) == 0


def test_a_function_whose_arguments_nobody_sees_keeps_the_classes(desk: Path) -> None:
    net = mobilenet_v3_small(num_classes=3)
    rng = np.random.default_rng(0)
    data = from_arrays(rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8), np.arange(60) % 3, batch_size=8)
    run = cnnkit.fit(task=ClassificationTask(net), data=data, **FEW)
    assert read_dump(run.path / "config.yaml")["model"]["init_args"]["net"]["init_args"]["num_classes"] == 3
    assert 0 <= run.test()["test/acc"] <= 1
