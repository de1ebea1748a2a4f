from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from short_trainer import trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from cnnkit import CNN, ClassificationTask, FashionMNISTSample
from cnnkit.errors import UserError
from cnnkit.metrics import build_accuracy
from cnnkit.optim import WarmupCosineLR
from cnnkit.runs import RunFolder
from cnnkit.transforms import MixUp


def net(**kwargs: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(**{"channels": (4, 8), "hidden_sizes": (16,), **kwargs})


class Rates(Callback):
    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


SGD = partial(torch.optim.SGD, lr=1.0)


def cosine(step: int) -> float:
    return 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 6))).item()


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (None, [1.0] * 6),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=0), [cosine(step) for step in range(6)]),
        (partial(WarmupCosineLR, warmup=0.5), [0.25, 0.5, 0.75, 1.0, 0.75, 0.25]),
        (partial(lr_scheduler.MultiStepLR, milestones=[1]), [1.0] * 3 + [0.1] * 3),
        (partial(lr_scheduler.CosineAnnealingLR, T_max=4), [1.0] * 3 + [0.5 + 0.5**1.5] * 3),
    ],
    ids=["none", "cosine over the run", "warm-up", "steps in epochs", "a length of one's own in epochs"],
)
def test_the_schedule_knows_how_long_the_run_is(scheduler: Any, expected: list[float]) -> None:
    rates = Rates()
    trainer(rates).fit(ClassificationTask(net(), SGD, scheduler), datamodule=FashionMNISTSample())
    assert rates.rates == pytest.approx(expected, abs=1e-6)


def test_one_cycle_ends_with_the_run() -> None:
    rates = Rates()
    schedule = partial(lr_scheduler.OneCycleLR, max_lr=1.0, total_steps=None, pct_start=0.5)
    trainer(rates).fit(ClassificationTask(net(), SGD, schedule), datamodule=FashionMNISTSample())
    assert max(rates.rates) == rates.rates[2] == pytest.approx(1.0)
    assert rates.rates[-1] == pytest.approx(1 / 25 / 1e4)


def test_reduce_on_plateau_looks_at_the_monitor() -> None:
    rates = Rates()
    plateau = partial(lr_scheduler.ReduceLROnPlateau, patience=0, threshold=1e9, threshold_mode="abs")
    model = ClassificationTask(net(), partial(torch.optim.SGD, lr=1e-3), plateau, monitor="val/loss")
    trainer(rates, max_epochs=3).fit(model, datamodule=FashionMNISTSample())
    assert rates.rates[3] == pytest.approx(1e-3)
    assert rates.rates[6] == pytest.approx(1e-4)  # the first epoch set the mark, the second was no better


def test_a_schedule_of_a_run_without_end_is_refused() -> None:
    model = ClassificationTask(net(), SGD, partial(lr_scheduler.CosineAnnealingLR, T_max=0))
    with pytest.raises(UserError, match=r"set trainer\.max_epochs"):
        trainer(max_epochs=-1).fit(model, datamodule=FashionMNISTSample())


def test_label_smoothing_is_in_the_training_loss_alone() -> None:
    model = ClassificationTask(net(), label_smoothing=0.2)
    images, labels = torch.randn(8, 1, 28, 28), torch.arange(8)
    loss, logits = model.compute_loss((images, labels))
    target = F.one_hot(labels, 10) * 0.8 + 0.02
    torch.testing.assert_close(loss, -(target * logits.log_softmax(1)).sum(1).mean())
    run = trainer(limit_val_batches=None)
    found = run.validate(model, datamodule=FashionMNISTSample(eval_batch_size=300), verbose=False)[0]
    images, labels = validation_images()
    with torch.inference_mode():
        logits = model.eval()(images)
    assert found["val/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found["val/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item(), abs=1e-6)


def validation_images() -> tuple[Tensor, Tensor]:
    data = FashionMNISTSample()
    data.setup()
    store = data.open()
    images = (store.train_images[data.val_indices].float() / 255 - 0.2860) / 0.3530
    return images, store.train_labels[data.val_indices]


def test_mixed_images_train_with_soft_labels() -> None:
    model = ClassificationTask(net())
    run = trainer()
    run.fit(model, datamodule=FashionMNISTSample(augment=[MixUp()]))
    assert 0 <= run.callback_metrics["train/acc"] <= 1
    soft = torch.full((4, 10), 0.1)
    loss, logits = model.compute_loss((torch.randn(4, 1, 28, 28), soft))
    torch.testing.assert_close(loss, -(logits.log_softmax(1)).mean())


def test_norms_and_biases_are_spared_the_decay_when_asked() -> None:
    model = ClassificationTask(net(norm="batch"), decay_norm_and_bias=False)
    decayed, spared = model.parameter_groups()
    assert all(p.ndim > 1 for p in decayed["params"])
    assert spared["weight_decay"] == 0
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.net.parameters()))
    assert len(ClassificationTask(net()).parameter_groups()) == 1


def test_weights_are_channels_last_unless_told_otherwise() -> None:
    weight = ClassificationTask(net()).net.features[3].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert ClassificationTask(net(), channels_last=False).net.features[3].weight.is_contiguous()


def test_compiling_leaves_the_names_in_the_state_dict() -> None:
    plain, compiled = ClassificationTask(net()), ClassificationTask(net(), compile_net=True)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    assert compiled.net._compiled_call_impl is not None


def test_the_four_methods_that_research_overrides_are_the_ones_that_run() -> None:
    called = set()

    class Mine(ClassificationTask):
        def compute_loss(self, batch: Any) -> tuple[Tensor, Tensor]:
            called.add("compute_loss")
            return super().compute_loss(batch)

        def build_metrics(self) -> MetricCollection:
            called.add("build_metrics")
            top3 = MulticlassAccuracy(num_classes=10, average="micro", top_k=3)
            return MetricCollection({"acc": build_accuracy(), "top3": top3})

        def parameter_groups(self) -> list[dict[str, Any]]:
            called.add("parameter_groups")
            return [{"params": list(self.net.head.parameters())}]

        def configure_optimizers(self) -> Any:
            called.add("configure_optimizers")
            return super().configure_optimizers()

    model = Mine(net())
    before = model.net.features[0].weight.clone()
    run = trainer()
    run.fit(model, datamodule=FashionMNISTSample())
    assert called == {"compute_loss", "build_metrics", "parameter_groups", "configure_optimizers"}
    assert run.callback_metrics["val/top3"] > run.callback_metrics["val/acc"]
    assert torch.equal(model.net.features[0].weight, before)


def test_the_net_must_fit_the_images() -> None:
    with pytest.raises(UserError, match=r"built for image_size .*32.*pass image_size=28"):
        trainer().fit(ClassificationTask(net(image_size=32)), datamodule=FashionMNISTSample())


@pytest.mark.parametrize(("classes", "logged"), [(10, False), (11, True)])
def test_with_more_than_ten_classes_top_5_stands_beside_top_1(classes: int, logged: bool) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(64, 1, 28, 28), torch.randint(0, classes, (64,))
    task = ClassificationTask(net(num_classes=classes))
    run = trainer()
    (scores,) = run.test(task, DataLoader(TensorDataset(images, labels), 20), verbose=False)
    assert ("test/acc_top5" in scores) is logged
    if logged:
        with torch.no_grad():
            likeliest = task.eval()(images).topk(5).indices
        assert scores["test/acc_top5"] == pytest.approx((likeliest == labels[:, None]).any(1).float().mean().item())


def test_a_step_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Callable[..., Any]:
        def raise_(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError(f"Tensor.{name} in a step makes the host wait for the device")

        return raise_

    class Watched(ClassificationTask):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            with monkeypatch.context() as patch:
                for name in (
                    "item",
                    "tolist",
                    "__bool__",
                    "__float__",
                    "__int__",
                    "__index__",
                    "nonzero",
                    "cpu",
                    "numpy",
                ):
                    patch.setattr(Tensor, name, refuse(name))
                return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            with monkeypatch.context() as patch:
                for name in ("item", "tolist", "__bool__", "__float__", "nonzero"):
                    patch.setattr(Tensor, name, refuse(name))
                super().validation_step(batch, batch_idx)

    trainer(log_every_n_steps=50).fit(Watched(net(dropout=0.5)), datamodule=FashionMNISTSample(augment=[MixUp()]))


def test_any_module_trains_on_any_loader_without_a_data_module(tmp_path: Path) -> None:
    data = DataLoader(TensorDataset(torch.randn(10, 3), torch.arange(10) % 2), batch_size=5)
    model = ClassificationTask(nn.Linear(3, 2), channels_last=False)
    run = trainer(LearningRateMonitor(), logger=True, default_root_dir=tmp_path)
    run.fit(model, data, data)
    assert run.callback_metrics["val/loss"] < 2


def test_a_run_of_the_command_line_loads_as_a_task(trained_once: RunFolder) -> None:
    task = ClassificationTask.load_from_checkpoint(trained_once.best, weights_only=True)
    assert isinstance(task.net, CNN)
    assert task.net.head[-1].out_features == 10
    saved = torch.load(trained_once.best, weights_only=True)["state_dict"]
    assert all(torch.equal(task.state_dict()[key], saved[key]) for key in saved)
