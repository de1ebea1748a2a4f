"""Every run card runs: one batch to train, to validate and to test, on the sample or on made-up images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_runs import Ended

from cnnkit import data
from cnnkit.data.store import Store
from cnnkit.run_folder import find

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
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


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.usefixtures("made_up_data")
def test_a_config_trains_and_tests(cli: Callable[..., Ended], file: Path) -> None:
    limits = [f"--trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    quiet = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", "--data.eval_batch_size=64"]
    ended = cli("fit", "--config", str(file), *limits, *quiet)
    assert ended.code == 0, ended.err
    run = find(f"runs/{file.stem}")
    assert run.manifest()["last"]["val/loss"] > 0
    assert cli("test", "--run", str(run)).code == 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_config_names_its_own_command(file: Path) -> None:
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert f"# python -m cnnkit fit --config configs/{file.relative_to(CONFIGS)}" in head
