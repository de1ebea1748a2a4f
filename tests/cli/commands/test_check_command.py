"""``check``: each fault is named where it is, and nowhere else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checked_words import SMALL, found
from made_folders import fill
from small_runs import Cli

from cnnkit import data
from cnnkit.cli.commands.check import find_all
from cnnkit.cli.commands.check.checks import CHECKS
from cnnkit.data.store import Store
from cnnkit.threads import count_usable_cores

CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))
COUNTS = {"MNIST": (9000, 1000), "FashionMNIST": (9000, 1000), "CIFAR10": (9000, 1000)}
STEP = "--model.scheduler=torch.optim.lr_scheduler."
TRANSFER = ["--model=TransferTask", "--model.net=CNN", "--model.net.channels=[4,8]"]


@pytest.fixture
def made_up_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in place of the real data sets."""

    def made_up(self: data.ImageDataModule) -> Store:
        counts, generator = COUNTS[type(self).__name__], np.random.default_rng(0)
        shape = (self.in_channels, self.image_size, self.image_size)
        images = [torch.from_numpy(generator.integers(0, 256, (count, *shape), np.uint8)) for count in counts]
        labels = [torch.arange(count) % self.num_classes for count in counts]
        names = (
            tuple(map(str, range(10)))
            if isinstance(self, data.MNIST)
            else tuple("abcdefghij"[k] * 3 for k in range(10))
        )
        return Store("made up", images[0], labels[0], images[1], labels[1], names, "made up", {})

    for name in COUNTS:
        monkeypatch.setattr(getattr(data, name), "open", made_up)


@pytest.mark.usefixtures("made_up_data")
@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_the_configurations_of_the_package_have_no_warning(cli: Cli, file: Path) -> None:
    if "ImageFolder" in file.read_text():
        fill(Path("photos"), {"blue": 40, "green": 40, "red": 40})
    assert found("--config", str(file), "--data.num_workers=0") == {}


@pytest.mark.parametrize(
    ("key", "reason", "good", "bad"),
    [
        (
            "model.net",
            "shrink an image of 28 pixels to 7",
            ["--model.net=ResNet", "--model.net.depth=8"],
            ["--model.net=TimmNet", "--model.net.name=resnet18"],
        ),
        (
            "model.net",
            "gives 7 logits, and the data have 10",
            [],
            ["--model.net=my_nets.Seven", "--model.net.width=2"],
        ),
        (
            "data.batch_size",
            "one image a device",
            ["--model.net.norm=batch"],
            ["--model.net.norm=batch", "--data.batch_size=1"],
        ),
        (
            "data.drop_last",
            "has one, of which batch norm",
            ["--model.net.norm=batch", "--data.drop_last=false", "--data.batch_size=90"],
            ["--model.net.norm=batch", "--data.drop_last=false", "--data.batch_size=8999"],
        ),
        ("data.batch_size", "steps of an epoch: 1", [], ["--data.batch_size=9000"]),
        (
            "trainer.limit_train_batches",
            "is 1: steps of an epoch: 1",
            ["--trainer.limit_train_batches=20"],
            ["--trainer.limit_train_batches=1"],
        ),
        (
            "model.scheduler.milestones",
            "5 never comes: the run has 3 epochs",
            [f"{STEP}MultiStepLR", "--model.scheduler.milestones=[1,2]"],
            [f"{STEP}MultiStepLR", "--model.scheduler.milestones=[1,5]"],
        ),
        (
            "model.scheduler.step_size",
            "is 3, and the run has 3 epochs",
            [f"{STEP}StepLR", "--model.scheduler.step_size=2"],
            [f"{STEP}StepLR", "--model.scheduler.step_size=3"],
        ),
        (
            "model.scheduler.total_iters",
            "is 4, and the run has 3 epochs: the rate is still rising",
            [f"{STEP}LinearLR", "--model.scheduler.total_iters=2"],
            [f"{STEP}LinearLR", "--model.scheduler.total_iters=4"],
        ),
        (
            "model.scheduler.warmup_t",
            "is 50, and the run has 3 epochs",
            ["--model.scheduler=timm.scheduler.CosineLRScheduler", "--model.scheduler.warmup_t=1"],
            ["--model.scheduler=timm.scheduler.CosineLRScheduler", "--model.scheduler.warmup_t=50"],
        ),
        (
            "model.scheduler.warmup",
            "nearly all of it is warm-up",
            ["--model.scheduler=WarmupCosineLR"],
            ["--model.scheduler=WarmupCosineLR", "--model.scheduler.warmup=0.95"],
        ),
        ("monitor", "nothing is logged as 'val/acccc'", ["--monitor=train/loss"], ["--monitor=val/acccc"]),
        (
            "trainer.callbacks: monitor of EarlyStopping",
            "nothing is logged as 'val/f1'",
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"],
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/f1"],
        ),
        (
            "model.optimizer.lr",
            "only a new head trains",
            [*TRANSFER, "--model.mode=frozen", "--model.optimizer.lr=1e-3"],
            [*TRANSFER, "--model.mode=frozen", "--model.optimizer.lr=1e-5"],
        ),
        (
            "model.optimizer.lr, model.backbone_lr_ratio",
            "a rate of 0.01 for pretrained layers",
            [*TRANSFER, "--model.optimizer.lr=1e-2"],
            [*TRANSFER, "--model.optimizer.lr=1e-1"],
        ),
        (
            "model.label_smoothing",
            "is 0.4 beside MixUp",
            ["--data.augment+=MixUp", "--model.label_smoothing=0.1"],
            ["--data.augment+=MixUp", "--model.label_smoothing=0.4"],
        ),
        (
            "trainer.precision",
            "some hundred times slower",
            ["--trainer.precision=bf16-true"],
            ["--trainer.precision=16-true", "--trainer.accelerator=cpu"],
        ),
        (
            "data.num_workers",
            "they take time from each other",
            [f"--data.num_workers={count_usable_cores()}"],
            [f"--data.num_workers={count_usable_cores() + 1}"],
        ),
    ],
)
def test_a_fault_is_named_and_the_mended_configuration_is_not(
    cli: Cli, key: str, reason: str, good: list[str], bad: list[str]
) -> None:
    Path("my_nets.py").write_text(
        "from torch import nn\n\n\nclass Seven(nn.Sequential):\n    def __init__(self, width: int = 1) -> None:\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 7))\n"
    )
    words = [] if any("my_nets" in word or "TransferTask" in word for word in [*good, *bad]) else SMALL
    if any("--model.net=" in word for word in [*good, *bad]):
        words = SMALL[-2:]
    assert found(*words, *good) == {}
    findings = find_all([*words, *bad])
    assert {finding.key for finding in findings} == {key}
    assert any(reason in finding.reason for finding in findings)


@pytest.mark.usefixtures("made_up_data")
def test_mirrored_digits_are_named(cli: Cli) -> None:
    assert found(*SMALL, "--data=MNIST", "--data.augment+=RandomCrop") == {}
    flipped = found(*SMALL, "--data=MNIST", "--data.augment+=AlternatingFlip", "--model.tta=flip_shift")
    assert flipped == {
        "data.augment": "AlternatingFlip mirrors digits, which makes others of them",
        "model.tta": "is flip_shift, which averages over mirrored digits",
    }
    assert list(found(*SMALL, "--data=MNIST", "--data.augment+=RandomVerticalFlip")) == ["data.augment"]
    assert found(*SMALL, "--data=FashionMNIST", "--data.augment+=AlternatingFlip") == {}


@pytest.mark.usefixtures("made_up_data")
def test_a_test_set_to_validate_on_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = data.FashionMNIST.open

    def copied(self: data.FashionMNIST) -> Store:
        store = made_up(self)
        images = torch.cat([store.test_images, store.train_images[1000:]])
        return Store(**{**vars(store), "train_images": images})

    assert found(*SMALL, "--data=FashionMNIST", "--data.val_size=500") == {}
    monkeypatch.setattr(data.FashionMNIST, "open", copied)
    setup = data.FashionMNIST.setup

    def first(self: data.FashionMNIST, stage: str | None = None) -> None:
        setup(self, stage)
        self.val_indices, self.train_indices = torch.arange(1000), torch.arange(1000, 9000)

    monkeypatch.setattr(data.FashionMNIST, "setup", first)
    assert list(found(*SMALL, "--data=FashionMNIST")) == ["data"]
    assert "100% of the validation images are test images" in found(*SMALL, "--data=FashionMNIST")["data"]


def test_the_exit_code_says_so_only_if_asked(cli: Cli) -> None:
    words = ["check", *SMALL, "--model.scheduler=WarmupCosineLR", "--model.scheduler.warmup=0.95"]
    ended = cli(*words)
    assert ended.code == 0
    assert ended.out.splitlines()[0].startswith("warning: model.scheduler.warmup: is 0.95 of the run")
    assert ended.out.splitlines()[-1] == f"{len(CHECKS)} checks, 1 warning"
    assert cli(*words, "--strict").code == 1
    (row,) = json.loads(cli(*words, "--json").out)
    assert (row["key"], row["remedy"]) == ("model.scheduler.warmup", "give 0.05 to 0.2")
    clean = cli("check", *SMALL, "--strict")
    assert (clean.code, clean.out) == (0, f"{len(CHECKS)} checks, nothing found\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--config nowhere.yaml", "nowhere.yaml"),
        ("--stict", "--stict: unknown word; did you mean --strict?"),
        ("--trainer.max_epochs=-3", "max_epochs"),
        ("--trainer.limit_train_batches=0.0001", "trainer.limit_train_batches is 0.0001, less than one batch"),
        ("--data=ImageFolder --data.root=nowhere", "nowhere"),
        ("--model.net=CNN --model.net.channels=[]", "channels"),
    ],
)
def test_a_mistake_of_the_words_is_an_error(cli: Cli, words: str, said: str) -> None:
    ended = cli("check", *words.split())
    assert ended.code == 2, ended.out
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 3
