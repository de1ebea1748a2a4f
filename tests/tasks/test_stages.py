"""The head and the stages of any net, its weights from elsewhere, and a new head."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from short_trainer import trainer
from torch import nn
from transfer_runs import data, net, outside, same

from cnnkit import CNN, GoogLeNet, ResNet, TransferTask
from cnnkit.errors import UserError
from cnnkit.tasks.stages import find_head, find_stages


class Wrapped(nn.Module):
    """As a net of another library in a class of ours, with a loose parameter."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.net, self.scale = inner, nn.Parameter(torch.ones(()))


class Backbone(nn.Module):
    """As a researcher writes it: someone's net without its head, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet()
        self.backbone.linear = nn.Identity()
        self.fc = nn.Linear(64, 3)


def efficientnet() -> nn.Module:
    import timm

    model: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    return Wrapped(model)


@pytest.mark.parametrize(
    ("make", "head", "stages"),
    [
        (ResNet, "linear", ["conv1", "layer1", "layer2", "layer3"]),
        (partial(ResNet, block="preact"), "linear", ["conv1", "layer1", "layer2", "layer3"]),
        (net, "head.2", ["features.0", "features.4", "features.8"]),
        (partial(CNN, hidden_sizes=(16,)), "head.3", ["features.0", "features.3", "head.1"]),
        (GoogLeNet, "classifier", ["stem.0", "stage1", "stage2", "stage3"]),
        (Backbone, "fc", ["backbone.conv1", "backbone.layer1", "backbone.layer2", "backbone.layer3"]),
        (
            efficientnet,
            "net.classifier",
            ["net.conv_stem", *(f"net.blocks.{i}" for i in range(7)), "net.conv_head"],
        ),
    ],
    ids=["ResNet", "pre-activation", "CNN", "CNN with a hidden layer", "auxiliary heads", "own", "timm"],
)
def test_the_stages_of_any_net_hold_its_backbone_once_and_in_order(
    make: Callable[[], nn.Module], head: str, stages: list[str]
) -> None:
    made = make()
    assert find_head(made) == head
    found = find_stages(made, head)
    assert [stage.name for stage in found] == stages
    held = [id(p) for stage in found for p in stage.parameters]
    of_head = {id(p) for p in made.get_submodule(head).parameters()}
    assert len(held) == len(set(held))
    assert set(held) | of_head == {id(p) for p in made.parameters()}
    assert not set(held) & of_head


def test_what_its_author_has_frozen_belongs_to_no_stage() -> None:
    made = net()
    made.features[0].requires_grad_(False)
    task = TransferTask(made)
    trainer().fit(task, datamodule=data())
    assert not made.features[0].weight.requires_grad


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    torch.save(
        CNN(1, 4, 28, channels=(4, 6, 8), hidden_sizes=(), norm="batch", padding=1).state_dict(), tmp_path / "w.pt"
    )
    return tmp_path / "w.pt"


def test_weights_come_without_the_head_they_had(trained: Path) -> None:
    source = torch.load(trained, weights_only=True)
    task = TransferTask(net(dropout=0), weights=str(trained))
    assert same(outside(task.net.state_dict(), "head.1"), outside(source, "head.1"))
    assert task.head.out_features == 10


def test_the_head_is_kept_only_when_asked(trained: Path) -> None:
    source = torch.load(trained, weights_only=True)
    four = {"num_classes": 4, "dropout": 0}
    assert not torch.equal(TransferTask(net(**four), weights=str(trained)).head.weight, source["head.1.weight"])
    kept = TransferTask(net(**four), weights=str(trained), keep_head=True)
    assert torch.equal(kept.head.weight, source["head.1.weight"])


def test_weights_of_another_net_are_refused_by_name(trained: Path) -> None:
    with pytest.raises(UserError, match=r"does not fit ResNet: missing conv1.weight, .* more; unexpected features.0"):
        TransferTask(ResNet(1, 10, 28), weights=str(trained))
    with pytest.raises(UserError, match=r"of another shape features.0.weight"):
        TransferTask(net(channels=(5, 6, 8), dropout=0), weights=str(trained))


def test_a_new_head_takes_the_place_of_the_old_one() -> None:
    task = TransferTask(net(), head_sizes=(20, 12), head_dropout=0.5)
    kinds = [type(layer).__name__ for layer in task.head]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layer.out_features for layer in task.head if isinstance(layer, nn.Linear)] == [20, 12, 10]
    assert task.net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert [stage.name for stage in task.stages] == ["features.0", "features.4", "features.8"]


class Convolutional(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (Convolutional, {}, "Convolutional has no Linear layer.*name a part of it with head"),
        (net, {"head": "classifier"}, r"head is 'classifier': CNN has no such part.*head\.2"),
        (net, {"head": "features", "head_sizes": (4,)}, "the head is a Sequential"),
        (net, {"head_dropout": 0.5}, "there are no head_sizes"),
        (net, {"mode": "freeze"}, "mode is 'freeze': give one of frozen"),
        (net, {"mode": "gradual"}, "needs unfreeze_at"),
        (net, {"mode": "gradual", "unfreeze_at": (3, 1)}, "give epochs in order"),
        (net, {"mode": "gradual", "unfreeze_at": (1, 2, 3, 4)}, "4 epochs for 3 stages: features.0, features.4"),
        (net, {"layer_decay": 2.0}, "layer_decay 2.0"),
        (net, {"backbone_lr_ratio": 0.0}, "backbone_lr_ratio is 0.0"),
        (net, {"weights": "nowhere.pt"}, "nowhere.pt: no such file"),
    ],
)
def test_mistakes_are_told(make: Callable[[], nn.Module], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TransferTask(make(), **arguments)


def test_a_head_that_is_convolutional_can_be_named() -> None:
    task = TransferTask(nn.Sequential(nn.Conv2d(1, 4, 3), Convolutional_head()), "frozen", head="1.conv")
    before = task.net[0].weight.clone()
    trainer().fit(task, datamodule=data())
    assert torch.equal(task.net[0].weight, before)


def Convolutional_head() -> nn.Sequential:
    head = nn.Sequential()
    head.conv = nn.Conv2d(4, 10, 3)
    return head.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
