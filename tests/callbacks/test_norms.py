import csv
import math
from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from small_runs import SMALL

from cnnkit.dashboards import LayerNorms
from cnnkit.runs import RunFolder


class ByHand(Callback):
    """The norms of one weight's gradient, without LayerNorms."""

    gradients: list[float] = []  # noqa: RUF012

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: object) -> None:
        self.gradients.append(math.sqrt(pl_module.net.features[0].weight.grad.double().square().sum()))


def rows(run: RunFolder) -> list[dict[str, float]]:
    with run.metrics.open() as file:
        return [{k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]


def test_an_epoch_has_one_row_of_norms_and_the_first_step_its_own(
    fit: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ByHand.gradients.clear()
    Path("by_hand.py").write_text("from test_norms import ByHand\n")
    words = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=2", "--trainer.callbacks+=by_hand.ByHand"]
    run = fit("--watch.norms=true", *words)
    found = {int(row["step"]): row for row in rows(run) if "gradients/features.0" in row}
    assert sorted(found) == [0, 2, 5]
    steps = ByHand.gradients
    expected = {0: steps[0], 2: (steps[0] + steps[2]) / 2, 5: (steps[4] + steps[5]) / 2}
    for step, gradient in expected.items():
        assert found[step]["gradients/features.0"] == pytest.approx(gradient, rel=1e-4)
    weight = torch.load(run.last, weights_only=True)["state_dict"]["net.features.0.weight"].norm().item()
    assert found[5]["weights/features.0"] == pytest.approx(weight, rel=1e-5)
    assert found[5]["ratio/features.0"] == pytest.approx(expected[5] / weight, rel=1e-4)
    layers = [key for key in found[5] if key.startswith("gradients/")]
    assert len(layers) == 4  # two convolutions, two dense layers, no biases
    assert not any(key.startswith("gradients/") for key in run.manifest()["last"])


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_norms_of_every_precision(fit: Callable[..., RunFolder], precision: str) -> None:
    run = fit("--watch.norms=true", f"--trainer.precision={precision}")
    weight = torch.load(run.last, weights_only=True)["state_dict"]["net.features.0.weight"].double().norm().item()
    last = [row for row in rows(run) if "weights/features.0" in row][-1]
    assert last["weights/features.0"] == pytest.approx(weight, rel=1e-5)


def test_frozen_layers_have_no_gradient_norm(fit: Callable[..., RunFolder]) -> None:
    run = fit("--model=TransferTask", "--model.net=CNN", *SMALL[:3], "--model.mode=frozen", "--watch.norms=true")
    layers = {key for row in rows(run) for key in row if key.startswith("gradients/")}
    assert len(layers) == 1


def test_nothing_is_measured_without_loggers(tmp_path: Path) -> None:
    from test_during_fit import task, trainer

    from cnnkit import FashionMNISTSample

    norms = LayerNorms()
    trainer(tmp_path, norms, enable_checkpointing=False).fit(task(), datamodule=FashionMNISTSample())
    assert norms.state_dict() == {"sums": {}, "counts": {}}
