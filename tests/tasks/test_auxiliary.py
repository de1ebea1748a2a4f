from collections.abc import Callable, Iterator
from functools import partial, partialmethod
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from short_trainer import trainer
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from cnnkit import CNN, AuxiliaryLossTask, ClassificationTask, FashionMNISTSample, GoogLeNet
from cnnkit.errors import UserError
from cnnkit.layers import AuxiliaryHeads, compile_once
from cnnkit.transforms import MixUp

HEADS = ["features.2", "features.5"]


def net(**kwargs: Any) -> CNN:
    torch.manual_seed(0)
    return CNN(**{"channels": (4, 8), "hidden_sizes": (16,), **kwargs})


def batch(n: int = 8) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 10


@pytest.mark.parametrize("weight", [0.3, [0.5, 0.25], {"features.5": 0.25, "features.2": 0.0}], ids=str)
def test_the_gradient_is_that_of_the_weighted_sum(weight: Any) -> None:
    task = AuxiliaryLossTask(net(), HEADS, weight, label_smoothing=0.1)
    images, labels = batch()
    loss, logits = task.compute_loss((images, labels))
    loss.backward()
    found = {name: p.grad.clone() for name, p in task.named_parameters()}

    task.zero_grad()
    first = task.net.features[:3](images)
    second = task.net.features[3:](first)
    outputs = [task.net.head(second), task.heads["features_2"](first), task.heads["features_5"](second)]
    weights = {"0.3": (0.3, 0.3), "[0.5, 0.25]": (0.5, 0.25)}.get(str(weight), (0.0, 0.25))
    for output, w in zip(outputs, (1, *weights), strict=True):
        (w * F.cross_entropy(output, labels, label_smoothing=0.1)).backward(retain_graph=True)
    for name, p in task.named_parameters():
        torch.testing.assert_close(found[name], p.grad, msg=name)
    assert torch.equal(logits, outputs[0])


def test_a_net_with_heads_of_its_own() -> None:
    torch.manual_seed(0)
    task = AuxiliaryLossTask(GoogLeNet(1, 10, 28), weight={"aux2": 0.5, "aux1": 0.1})
    images, labels = batch()
    output = task.net.forward_aux(images)
    parts = [F.cross_entropy(logits, labels) for logits in (output.logits, *output.aux_logits.values())]
    torch.testing.assert_close(task.compute_loss((images, labels))[0], parts[0] + 0.1 * parts[1] + 0.5 * parts[2])
    wrapped = AuxiliaryLossTask(AuxiliaryHeads(net(), HEADS))  # so does a net that was wrapped in Python
    assert list(wrapped.weights) == HEADS


def test_validation_test_and_prediction_see_the_plain_net() -> None:
    task, plain, data = AuxiliaryLossTask(net(), HEADS), ClassificationTask(net()), FashionMNISTSample(batch_size=32)
    for run in ("validate", "test"):
        scores = [getattr(trainer(), run)(model, datamodule=data, verbose=False) for model in (task, plain)]
        assert scores[0] == scores[1]
    images = batch()[0]
    assert torch.equal(task(images), plain(images))
    assert torch.equal(torch.export.export(task.net.eval(), (images,)).module()(images), plain.eval()(images))


def test_the_net_of_the_task_has_the_names_of_the_plain_net() -> None:
    task, plain = AuxiliaryLossTask(net(), HEADS), ClassificationTask(net())
    extra = task.state_dict().keys() - plain.state_dict().keys()
    assert plain.state_dict().keys() <= task.state_dict().keys()
    assert {name.split(".")[0] for name in extra} == {"heads"}
    assert sum(len(g["params"]) for g in task.parameter_groups()) == len(list(task.parameters()))


class Factors(Callback):
    def __init__(self) -> None:
        self.factors: list[float] = []
        self.head: list[bool] = []

    def on_train_batch_start(self, trainer: L.Trainer, task: Any, *args: Any) -> None:
        self.factors.append(task.decay_factor())

    def on_after_backward(self, trainer: L.Trainer, task: Any) -> None:
        self.head.append(any(bool(p.grad.any()) for p in task.heads.parameters()))


@pytest.mark.parametrize(
    ("decay", "options", "expected"),
    [
        ("none", {}, [1.0] * 6),
        ("linear", {}, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]),
        ("linear", {"max_steps": 3}, [1.0, 0.5, 0.0]),
        (
            "linear",
            {"limit_train_batches": 4, "accumulate_grad_batches": 2},
            [1.0, 1.0, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0, 0],
        ),
    ],
    ids=str,
)
def test_the_weights_reach_zero_at_the_last_step(decay: Any, options: dict[str, int], expected: list[float]) -> None:
    seen = Factors()
    trainer(seen, **options).fit(AuxiliaryLossTask(net(), HEADS, decay=decay), datamodule=FashionMNISTSample())
    assert seen.factors == pytest.approx(expected)
    assert seen.head == [factor > 0 for factor in expected]


def test_a_run_without_end_has_no_end_to_decay_to() -> None:
    with pytest.raises(UserError, match=r"decay=linear ends with the run: set trainer\.max_epochs"):
        trainer(max_epochs=-1).fit(AuxiliaryLossTask(net(), HEADS, decay="linear"), datamodule=FashionMNISTSample())


def test_each_part_of_the_loss_is_logged() -> None:
    run = trainer(max_epochs=1)
    sgd = partial(torch.optim.SGD, lr=0.0)
    run.fit(
        AuxiliaryLossTask(net(), HEADS, [0.5, 0.25], optimizer=sgd), datamodule=FashionMNISTSample(augment=[MixUp()])
    )
    logged = {key: value.item() for key, value in run.callback_metrics.items()}
    total = (
        logged["train/loss_main"]
        + 0.5 * logged["train/loss_aux/features.2"]
        + 0.25 * logged["train/loss_aux/features.5"]
    )
    assert logged["train/loss"] == pytest.approx(total, rel=1e-5)
    assert 0 <= logged["train/acc_aux/features.5"] <= 1
    plain = trainer(max_epochs=1)
    plain.fit(ClassificationTask(net(), sgd), datamodule=FashionMNISTSample(augment=[MixUp()]))
    assert logged["train/loss_main"] == pytest.approx(plain.callback_metrics["train/loss"].item(), rel=1e-5)


def test_the_parts_of_the_loss_are_those_of_one_epoch() -> None:
    run = trainer(max_epochs=2, limit_train_batches=2)
    run.fit(AuxiliaryLossTask(net(), HEADS, [0.5, 0.25]), datamodule=FashionMNISTSample())
    parts = {key: value.item() for key, value in run.callback_metrics.items()}
    heads = 0.5 * parts["train/loss_aux/features.2"] + 0.25 * parts["train/loss_aux/features.5"]
    assert parts["train/loss_main"] + heads == pytest.approx(parts["train/loss"], rel=1e-5)


def test_a_step_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a step makes the host wait for the device")

    class Watched(AuxiliaryLossTask):
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
                    patch.setattr(Tensor, name, refuse)
                return super().training_step(batch, batch_idx)

    trainer().fit(Watched(net(), HEADS, decay="linear"), datamodule=FashionMNISTSample())


def test_compute_loss_is_what_research_overrides() -> None:
    class Doubled(AuxiliaryLossTask):
        def compute_loss(self, batch: Any) -> tuple[Tensor, Tensor]:
            loss, logits = super().compute_loss(batch)
            return 2 * loss, logits

    run = trainer(max_epochs=1, limit_train_batches=1)
    run.fit(Doubled(net(), HEADS, [1, 0]), datamodule=FashionMNISTSample())
    parts = run.callback_metrics
    expected = 2 * (parts["train/loss_main"] + parts["train/loss_aux/features.2"])
    torch.testing.assert_close(parts["train/loss"], expected)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounter]:
    """Compiles as far as the graph, without a C++ compiler."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    torch._dynamo.reset()
    compile_once.cache_clear()
    yield counter
    torch._dynamo.reset()
    compile_once.cache_clear()


@pytest.mark.parametrize(
    "build",
    [
        partial(AuxiliaryLossTask, after=HEADS),
        pytest.param(lambda net, **kw: AuxiliaryLossTask(GoogLeNet(1, 10, 28), **kw), marks=pytest.mark.slow),
    ],
    ids=["hung", "own"],
)
def test_training_can_be_compiled(compiled: CompileCounter, build: Any) -> None:
    torch.manual_seed(0)
    task = build(net(), compile_net=True)
    torch.manual_seed(0)
    plain = build(net())
    task.eval()(batch()[0])  # validation compiles the plain net first
    task.train()
    for _ in range(3):
        torch.testing.assert_close(task.compute_loss(batch()), plain.compute_loss(batch()))
    assert compiled.frame_count == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AuxiliaryLossTask(net()), r"CNN has no forward_aux.*after=\[features, head\]"),
        (lambda: AuxiliaryLossTask(net(), ["nowhere"]), "CNN has no module 'nowhere'"),
        (lambda: AuxiliaryLossTask(net(), HEADS, [0.3]), "one for each head: features.2, features.5"),
        (lambda: AuxiliaryLossTask(net(), HEADS, {"features.2": 0.3}), "one for each head: features.2, features.5"),
        (lambda: AuxiliaryLossTask(net(), HEADS, -1.0), "one number from 0 up"),
        (lambda: AuxiliaryLossTask(net(), HEADS, decay="cosine"), "decay 'cosine' is unknown"),
        (lambda: AuxiliaryLossTask(GoogLeNet(auxiliary=False)), "built with auxiliary=False"),
    ],
)
def test_mistakes_are_named_with_the_remedy(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
