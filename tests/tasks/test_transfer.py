from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from short_trainer import trainer
from torch import Tensor
from transfer_runs import data, net, outside, same

from cnnkit import TransferTask

HEAVY = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1)  # moves all that it may move


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
