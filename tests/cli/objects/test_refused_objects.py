"""Objects that a run could not build again: one line that says what differs, and nothing is left."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from test_fit_from_objects import FEW, KeptNet
from torch import nn
from torchvision.models import squeezenet1_1

import cnnkit
from cnnkit import CIFAR10, ClassificationTask, FashionMNISTSample, LeNet5
from cnnkit.errors import UserError


class Forgets(KeptNet):
    """Keeps an argument under another name."""

    def __init__(self, in_channels: int = 1, num_classes: int = 10, wide: int = 4) -> None:
        super().__init__(in_channels, num_classes, wide)


class Scales(KeptNet):
    """Uses an argument that it keeps nowhere where anybody could see it."""

    def __init__(self, in_channels: int = 1, num_classes: int = 10, power: float = 1.0) -> None:
        super().__init__(in_channels, num_classes)
        self.scale = lambda maps: maps * power

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale(super().forward(images))


class Demands(nn.Module):
    """Needs an argument that it does not keep."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), *[nn.LazyLinear(10) for _ in range(layers)])


class Grows(nn.Module):
    """Makes its last layer when the first images come."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, 4), None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images).mean((2, 3))
        self.head = nn.Linear(4, 10) if self.head is None else self.head
        return self.head(maps)


class NoBatches:
    """No data module."""


def change(net: nn.Module, act: Callable[[Any], Any]) -> ClassificationTask:
    act(net)
    return ClassificationTask(net)


def change_task(act: Callable[[Any], Any]) -> ClassificationTask:
    task = ClassificationTask(KeptNet())
    act(task)
    return task


def change_data(name: str, value: Any) -> FashionMNISTSample:
    data = FashionMNISTSample()
    setattr(data, name, value)
    return data


def make_local() -> nn.Module:
    class Local(KeptNet):
        pass

    return Local()


CASES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "lambda": (
        lambda: {"task": ClassificationTask(KeptNet(), optimizer=lambda groups: torch.optim.SGD(groups, lr=0.1))},
        r"task.optimizer is a lambda.*functools.partial\(torch.optim.SGD, lr=0.1\)",
    ),
    "partial": (
        lambda: {"task": ClassificationTask(KeptNet(), optimizer=partial(torch.optim.SGD, [], 0.1))},
        "task.optimizer: a partial has an argument without a name",
    ),
    "sequential": (
        lambda: {"task": ClassificationTask(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))},
        "task.net: Sequential takes arguments without names.*class of your own",
    ),
    "local": (lambda: {"task": ClassificationTask(make_local())}, "Local is defined within a function"),
    "unkept": (
        lambda: {"task": ClassificationTask(Forgets(wide=9))},
        "another one: conv.*self.wide = wide",
    ),
    "unseen": (lambda: {"task": ClassificationTask(Scales(power=3.0))}, "other logits; .*self.power = power"),
    "required": (lambda: {"model.net": Demands(1)}, "does not keep its argument layers.*self.layers = layers"),
    "layer": (lambda: {"task": change(KeptNet(), lambda net: setattr(net, "head", nn.Identity()))}, "head is Identity"),
    "layer of ours": (
        lambda: {"task": change(LeNet5(), lambda net: setattr(net, "extra", nn.Linear(2, 2)))},
        "it has extra.*after it was made is lost",
    ),
    "torchvision": (
        lambda: {"task": change(squeezenet1_1(), lambda net: setattr(net, "classifier", nn.Flatten()))},
        "no function of torchvision makes this SqueezeNet",
    ),
    "frozen": (
        lambda: {"task": change(KeptNet(), lambda net: net.conv.requires_grad_(False))},
        "requires_grad is False",
    ),
    "eval": (lambda: {"task": change(KeptNet(), lambda net: net.conv.eval())}, "conv is in evaluation mode"),
    "half": (lambda: {"task": change(KeptNet(), lambda net: net.half())}, "float16"),
    "late layer": (lambda: {"task": ClassificationTask(Grows())}, "makes head.weight in its forward.*constructor"),
    "compiled": (
        lambda: {"task": ClassificationTask(torch.compile(KeptNet()))},  # type: ignore[arg-type]
        "task.net is compiled: give the net itself, and compile_net=True to the task",
    ),
    "task": (
        lambda: {"task": change_task(lambda task: setattr(task, "tta", "flip"))},
        "task.tta is flip, .* none",
    ),
    "rate": (lambda: {"task": change_task(lambda task: setattr(task, "lr", 0.5))}, "task.optimizer is .*0.5"),
    "batch size": (lambda: {"data": change_data("batch_size", 7)}, "data.batch_size is 7, .* with 128"),
    "channels": (lambda: {"task": ClassificationTask(LeNet5(3, 10, 28))}, "in_channels is 3, .* have 1"),
    "classes": (
        lambda: {"task": ClassificationTask(KeptNet(1, 11))},
        "made for these data",
    ),
    "net as task": (lambda: {"task": KeptNet()}, "task is a KeptNet: give a task"),
    "no data module": (lambda: {"data": NoBatches()}, "data is a NoBatches: give a data module"),
    "key of a task": (lambda: {"task": ClassificationTask(KeptNet()), "model.tta": "flip"}, "model.tta: the object"),
    "key of data": (lambda: {"data": FashionMNISTSample(), "data.seed": 1}, "data.seed: the object"),
    "resume": (lambda: {"task": ClassificationTask(KeptNet()), "resume": "x"}, "leave out task"),
    "hidden net": (
        lambda: {"model": {"class_path": "ClassificationTask", "init_args": {"net": KeptNet()}}},
        "model: holds a net, whose weights would be lost",
    ),
    "tensor": (lambda: {"model.class_weights": torch.ones(10)}, "model.class_weights is a tensor"),
    "callback": (
        lambda: {"trainer.callbacks": [change_callback()]},
        "trainer.callbacks: the run would build another EarlyStopping: wait_count is 4",
    ),
}


def change_callback() -> EarlyStopping:
    callback = EarlyStopping("val/loss")
    callback.wait_count = 4
    return callback


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_no_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, says = CASES[name]
    values = make()
    given = {} if "data" in values or "resume" in values else {"data": FashionMNISTSample()}
    with pytest.raises(UserError, match=says) as caught:
        cnnkit.fit(**given, **FEW, **values)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_class_that_was_defined_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    old, new = (type("Twice", (KeptNet,), {"__module__": "__main__"}) for _ in range(2))
    monkeypatch.setattr(sys.modules["__main__"], "Twice", new, raising=False)
    with pytest.raises(UserError, match="Twice was defined again after this object was made"):
        cnnkit.fit(task=ClassificationTask(old()), data=FashionMNISTSample(), **FEW)


def test_data_of_another_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="in_channels is 1, but the images of CIFAR10 have 3"):
        cnnkit.fit(task=ClassificationTask(LeNet5(1, 10, 28)), data=CIFAR10(), **FEW)
