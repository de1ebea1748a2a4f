from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from cnnkit import CNN, FashionMNISTSample, ResNet, TransferTask
from cnnkit.errors import UserError
from cnnkit.tasks.stages import find_head, find_stages

SHORT = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "num_sanity_val_steps": 0}
HEAVY = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)  # moves all that it may move


def net(**kwargs: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(**{"channels": (4, 6, 8), "hidden_sizes": (), "norm": "batch", "dropout": 0.2, "padding": 1, **kwargs})


def trainer(*callbacks: Callback, **kwargs: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "enable_checkpointing": False,
    }
    return L.Trainer(accelerator="cpu", callbacks=list(callbacks), **{**quiet, **SHORT, **kwargs})


def data(**kwargs: Any) -> FashionMNISTSample:
    return FashionMNISTSample(**{"batch_size": 32, **kwargs})


def outside(state: dict[str, Tensor], head: str) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items() if not name.startswith(f"{head}.")}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Watch(Callback):
    """Keeps, at every epoch's start and end, the net's weights, and what a step found."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []
        self.eval_in_step: list[set[str]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.states.append({k: v.clone() for k, v in pl_module.net.state_dict().items()})

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.states.append({k: v.clone() for k, v in pl_module.net.state_dict().items()})

    def on_before_backward(self, trainer: L.Trainer, pl_module: Any, loss: Tensor) -> None:
        self.eval_in_step.append({name for name, module in pl_module.net.named_modules() if not module.training})


# ---- stages ----------------------------------------------------------------------------------------------------------


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
        (Backbone, "fc", ["backbone.conv1", "backbone.layer1", "backbone.layer2", "backbone.layer3"]),
        (
            efficientnet,
            "net.classifier",
            ["net.conv_stem", *(f"net.blocks.{i}" for i in range(7)), "net.conv_head"],
        ),
    ],
    ids=["ResNet", "pre-activation", "CNN", "CNN with a hidden layer", "own", "timm"],
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


# ---- frozen ----------------------------------------------------------------------------------------------------------


def test_frozen_means_that_nothing_of_the_backbone_moves() -> None:
    watch, task = Watch(), TransferTask(net(), "frozen", optimizer=HEAVY)
    before, head = outside(task.net.state_dict(), "head.2"), task.head.weight.clone()
    trainer(watch, val_check_interval=1).fit(task, datamodule=data())
    assert same(outside(task.net.state_dict(), "head.2"), before)  # num_batches_tracked, too
    assert not torch.equal(task.head.weight, head)
    # Validation after every step gives the modes back: dropout (head.1) and batch norm stay off, the head trains.
    everything = {name for name, _ in task.net.named_modules()} - {"head.2"}
    assert watch.eval_in_step == [everything] * 6


def test_frozen_takes_no_memory_for_gradients_of_the_backbone() -> None:
    class Look(Callback):
        saved = True

        def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
            self.saved = module.net.features(batch[0]).requires_grad

        def on_before_optimizer_step(self, trainer: L.Trainer, module: Any, optimizer: Any) -> None:
            assert all(p.grad is None for p in module.net.features.parameters())

    look = Look()
    trainer(look).fit(TransferTask(net(), "frozen"), datamodule=data())
    assert not look.saved


def test_a_frozen_batch_norm_does_not_look_at_the_batch() -> None:
    task = TransferTask(net(), "frozen")
    trainer().fit(task, datamodule=data())
    task._freeze(0)
    task.train()  # whoever calls it
    images = torch.randn(4, 1, 28, 28)
    torch.testing.assert_close(task.net.features(images)[:1], task.net.features(images[:1]))
    assert task.head.training


def test_the_modes_are_given_back_after_a_fit() -> None:
    task = TransferTask(net(), "frozen")
    trainer().fit(task, datamodule=data())
    assert all(module.training for module in task.modules())


# ---- fine-tuning -----------------------------------------------------------------------------------------------------


def rates(task: TransferTask) -> dict[str, float]:
    run = trainer(max_epochs=1, limit_train_batches=1)
    run.fit(task, datamodule=data())
    return {group["name"]: group["lr"] for group in run.optimizers[0].param_groups}


def test_the_backbone_trains_at_its_part_of_the_rate() -> None:
    assert rates(TransferTask(net(), optimizer=HEAVY)) == pytest.approx({"head": 0.1, "backbone": 0.01})


def test_frozen_norms_keep_their_statistics_while_weights_train() -> None:
    watch, task = Watch(), TransferTask(net(), "finetune", freeze_norm=True, optimizer=HEAVY)
    before = {name: value.clone() for name, value in task.net.state_dict().items()}
    trainer(watch, val_check_interval=1).fit(task, datamodule=data())
    moved = {name for name, value in task.net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name, _ in task.net.named_parameters()}  # all weights, no statistics
    norms = {name for name, module in task.net.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert watch.eval_in_step == [norms] * 6
    assert all(module.training for module in task.modules())


def test_rates_fall_from_the_top_down() -> None:
    task = TransferTask(net(), optimizer=HEAVY, backbone_lr_ratio=0.5, layer_decay=0.1)
    expected = {"head": 0.1, "features.8": 0.05, "features.4": 0.005, "features.0": 0.0005}
    assert rates(task) == pytest.approx(expected)


def test_one_step_moves_each_stage_in_proportion_to_its_rate() -> None:
    """Sign descent moves every weight by its rate exactly, whatever the gradient."""
    task = TransferTask(net(), optimizer=partial(torch.optim.Rprop, lr=0.01), layer_decay=0.5)
    before = {k: v.clone() for k, v in task.net.named_parameters()}
    trainer(max_epochs=1, limit_train_batches=1).fit(task, datamodule=data())
    moved = {k: (v - before[k]).abs().max().item() for k, v in task.net.named_parameters()}
    for name, rate in {"head.2": 0.01, "features.8": 0.001, "features.4": 5e-4, "features.0": 2.5e-4}.items():
        assert moved[f"{name}.weight"] == pytest.approx(rate, rel=1e-2), name


def test_norms_and_biases_are_spared_in_every_group() -> None:
    task = TransferTask(net(), decay_norm_and_bias=False, layer_decay=0.5)
    groups = task.parameter_groups()
    names = ["head", "features.8", "features.4", "features.0"]
    assert [g["name"] for g in groups] == [f"{name}/{kind}" for name in names for kind in ("decay", "no_decay")]
    assert all((g.get("weight_decay") == 0) == all(p.ndim == 1 for p in g["params"]) for g in groups)
    held = [id(p) for g in groups for p in g["params"]]
    assert sorted(held) == sorted(id(p) for p in task.net.parameters())


# ---- gradual ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unfreeze_at", "released"),
    [((1, 2), [0, 1, 3, 3, 3]), ((0, 1, 4), [1, 2, 2, 2, 3]), ((2,), [0, 0, 3, 3, 3]), ((1, 1, 3), [0, 2, 2, 3, 3])],
)
def test_when_which_stage_is_released(unfreeze_at: tuple[int, ...], released: list[int]) -> None:
    task = TransferTask(net(), "gradual", unfreeze_at=unfreeze_at)
    assert [task.count_released(epoch) for epoch in range(5)] == released


@pytest.mark.parametrize("optimizer", [HEAVY, partial(torch.optim.AdamW, lr=0.01, weight_decay=0.5)])
def test_a_stage_does_not_move_before_its_epoch(optimizer: Any) -> None:
    watch = Watch()
    task = TransferTask(net(), "gradual", unfreeze_at=(1, 2, 3), optimizer=optimizer)
    trainer(watch, max_epochs=4).fit(task, datamodule=data())
    tops = {0: ("features.8", "features.9"), 1: ("features.4", "features.5"), 2: ("features.0", "features.1")}
    for epoch in range(4):
        before, after = watch.states[epoch : epoch + 2]
        for depth, (conv, norm) in tops.items():
            moves = epoch >= depth + 1
            names = [n for n in before if n.startswith((f"{conv}.", f"{norm}."))]
            assert {torch.equal(before[n], after[n]) for n in names} == {not moves}, (epoch, conv)
    assert "features.0" in watch.eval_in_step[-4]
    assert "features.0" not in watch.eval_in_step[-1]


# ---- weights and heads -----------------------------------------------------------------------------------------------


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
