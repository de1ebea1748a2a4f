"""Training metrics that are updated for several steps at once are those of single updates, to the last bit."""

from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from support.tiny_training import BATCH, tiny_fit, tiny_net
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from cnnkit import ClassificationTask
from cnnkit.metrics import MeanLoss, TopKAccuracy, build_accuracy, hard_labels
from cnnkit.tasks.grouped import GroupedUpdates


def build(classes: int) -> tuple[MeanLoss, MetricCollection]:
    return MeanLoss(), MetricCollection({"acc": build_accuracy(), "acc_top5": TopKAccuracy(min(5, classes))})


def states(scores: tuple[MeanLoss, MetricCollection]) -> list[Tensor]:
    every = [scores[0], *scores[1].values(copy_state=False)]
    return [value for metric in every for value in metric.metric_state.values()]


@pytest.mark.parametrize("classes", [7, 20_000])  # the logits of the second fill a group early
def test_groups_change_no_bit_wherever_they_end(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    updates, grouped, single = GroupedUpdates(), build(classes), build(classes)
    for step in range(70 if classes < 100 else 12):
        size = 5 if step % 9 else 3
        loss, logits = (torch.randn(shape, generator=generator) * 100 for shape in ((), (size, classes)))
        labels = torch.randint(classes, (size,), generator=generator)
        if step % 11 == 5:  # soft labels among hard ones
            labels = torch.nn.functional.one_hot(labels, classes).float()
        single[0].update(loss, size)
        single[1].update(logits, hard_labels(labels))
        if updates.keep(loss, logits, labels) or step in (40, 41):  # a checkpoint can come at any step
            updates.flush(*grouped)
        logits.zero_()  # memory that the next step uses again
    updates.flush(*grouped)
    for a, b in zip(states(grouped), states(single), strict=True):
        assert torch.equal(a, b)


def test_a_metric_of_the_user_is_updated_with_every_batch() -> None:
    class Sizes(MulticlassAccuracy):
        sizes: list[int] = []  # noqa: RUF012

        def update(self, preds: Tensor, target: Tensor) -> None:
            self.sizes.append(len(target))
            super().update(preds, target)

    class Own(ClassificationTask):
        def build_metrics(self) -> MetricCollection:
            return MetricCollection({"acc": Sizes(3, average="macro", validate_args=False)})

    task = Own(tiny_net())
    tiny_fit(task, limit_val_batches=0, max_epochs=2)
    assert Sizes.sizes == [BATCH] * 8


class Look(Callback):
    """The training metrics in a checkpoint of every step."""

    def __init__(self) -> None:
        self.images: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        checkpoint: dict[str, Any] = {}
        pl_module.on_save_checkpoint(checkpoint)
        self.images.append(int(checkpoint["train_scores"][0]["count"]))


def test_a_checkpoint_within_an_epoch_holds_every_step_so_far() -> None:
    look = Look()
    with_looks = tiny_fit(ClassificationTask(tiny_net()), look, max_epochs=1).callback_metrics
    assert look.images == [BATCH, 2 * BATCH, 3 * BATCH, 4 * BATCH]
    without = tiny_fit(ClassificationTask(tiny_net()), max_epochs=1).callback_metrics
    assert all(torch.equal(with_looks[name], without[name]) for name in ("train/loss", "train/acc"))
