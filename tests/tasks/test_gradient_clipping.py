"""Gradients are clipped as torch.nn.utils clips them, in every precision, fused or not."""

from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from tiny_training import tiny_fit, tiny_loader, tiny_net
from torch import Tensor, nn

from cnnkit import AuxiliaryLossTask, ClassificationTask, TransferTask
from cnnkit.errors import UserError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true")
SGD, ADAM = partial(torch.optim.SGD, lr=0.01), partial(torch.optim.Adam, lr=1e-3, eps=1e-3)


def watched(cls: type[ClassificationTask], *args: Any, **kwargs: Any) -> Any:
    """A task that keeps the gradients before and after they are clipped."""

    class Watched(cls):  # type: ignore[valid-type, misc]
        pairs: list[tuple[list[Tensor], list[Tensor]]]

        def configure_gradient_clipping(self, *words: Any, **named: Any) -> None:
            held = [p for p in self.parameters() if p.grad is not None]
            before = [p.grad.clone() for p in held]
            super().configure_gradient_clipping(*words, **named)
            self.pairs.append((before, [p.grad.clone() for p in held]))

    task = Watched(*args, **kwargs)
    task.pairs = []
    return task


def clip(gradients: list[Tensor], algorithm: str, value: float) -> list[Tensor]:
    copies = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for copy, gradient in zip(copies, gradients, strict=True):
        copy.grad = gradient.clone()
    if algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(copies, value)
    else:
        torch.nn.utils.clip_grad_value_(copies, value)
    return [copy.grad for copy in copies if copy.grad is not None]


@pytest.mark.parametrize("algorithm", ["norm", "value"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_gradients_are_clipped(optimizer: Any, precision: Any, algorithm: str) -> None:
    value = 0.05 if algorithm == "norm" else 1e-3
    task = watched(ClassificationTask, tiny_net(), optimizer)
    options = {"gradient_clip_val": value, "gradient_clip_algorithm": algorithm}
    trainer = tiny_fit(task, precision=precision, max_epochs=1, **options)
    assert trainer.optimizers[0].defaults["fused"] is True, "a fused kernel is twice as fast"
    assert len(task.pairs) == 4
    for before, after in task.pairs:
        torch.testing.assert_close(after, clip(before, algorithm, value))
        assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True)), "something was to be clipped"
        if algorithm == "norm":
            assert torch.stack([g.double().norm() for g in after]).norm() <= value * 1.02


@pytest.mark.parametrize(
    "cls", [partial(watched, AuxiliaryLossTask, after=["features.0"]), partial(watched, TransferTask)]
)
def test_other_tasks_clip_as_well(cls: Any) -> None:
    task = cls(net=tiny_net(), optimizer=ADAM)
    tiny_fit(task, precision="bf16-mixed", max_epochs=1, gradient_clip_val=0.05)
    for before, after in task.pairs:
        torch.testing.assert_close(after, clip(before, "norm", 0.05))


def scaled() -> MixedPrecision:
    """16-mixed as it is on a GPU: a scaler multiplies the gradients, and only the optimizer's step divides them."""
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))


def test_with_a_scaler_gradients_are_unscaled_before_they_are_clipped() -> None:
    task = watched(ClassificationTask, tiny_net(), SGD)
    trainer = tiny_fit(task, plugins=[scaled()], max_epochs=1, gradient_clip_val=0.05)
    assert trainer.optimizers[0].defaults["fused"] is False
    plain = watched(ClassificationTask, tiny_net(), SGD)
    tiny_fit(plain, max_epochs=1, gradient_clip_val=0.05)
    for (before, after), (exact, _) in zip(task.pairs, plain.pairs, strict=True):
        torch.testing.assert_close(after, clip(before, "norm", 0.05))
        torch.testing.assert_close(before, exact, rtol=0.1, atol=2e-3)  # not 1,024 times as large
    assert tiny_fit(ClassificationTask(tiny_net(), SGD), plugins=[scaled()]).optimizers[0].defaults["fused"] is True


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        (partial(torch.optim.SGD, lr=0.1, fused=True), {"gradient_clip_val": 1.0}, r"optimizer\.fused is true, and"),
        (torch.optim.LBFGS, {}, "LBFGS evaluates a step several times"),
    ],
)
def test_what_a_scaler_cannot_do_is_refused(optimizer: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        tiny_fit(ClassificationTask(tiny_net(), optimizer), plugins=[scaled()], **options)


# ---- precisions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cls", [ClassificationTask, partial(AuxiliaryLossTask, after=["features.0"]), TransferTask])
def test_every_precision_trains_and_scores_on_a_cpu(cls: Any, precision: Any) -> None:
    options = {"optimizer": partial(torch.optim.SGD, lr=0.05), "label_smoothing": 0.1}
    net = tiny_net(norm="batch", dropout=0.1)
    exact, task = cls(net=tiny_net(norm="batch", dropout=0.1), **options), cls(net=net, **options)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    expected = tiny_fit(exact, precision="64-true", limit_train_batches=0).validate(
        exact, tiny_loader(9), verbose=False
    )
    start = tiny_fit(task, precision=precision, limit_train_batches=0)
    found = start.validate(task, tiny_loader(9), verbose=False)
    assert found[0]["val/loss"] == pytest.approx(expected[0]["val/loss"], rel=0.01)
    assert found[0]["val/acc"] == pytest.approx(expected[0]["val/acc"], abs=0.03)  # of 36 images one may tip over
    trainer = tiny_fit(task, precision=precision)
    weights = {name: p.detach() for name, p in net.named_parameters() if p.ndim > 1}
    assert all(not torch.equal(weight.to(before[name].dtype), before[name]) for name, weight in weights.items())
    with torch.inference_mode():
        images, labels = next(iter(tiny_loader(1, seed=1)))
        net.eval()
        logits = task(images).double()
    scores = trainer.callback_metrics
    assert scores["val/acc"].item() == pytest.approx((logits.argmax(1) == labels).double().mean().item(), abs=0.26)
    assert scores["val/loss"].item() == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=0.03)
    assert scores["train/loss"].dtype in (torch.float32, torch.float64)


def test_adam_in_float16_names_its_epsilon() -> None:
    with pytest.raises(UserError, match=r"model\.optimizer\.eps is 1e-08, which is 0 in float16"):
        tiny_fit(ClassificationTask(tiny_net(), torch.optim.Adam), precision="16-true")
