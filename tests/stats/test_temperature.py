"""The temperature against LBFGS in torch, and what its comparison says."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError

from cnnkit.errors import UserError
from cnnkit.stats.temperature import compare_temperatures, describe_error, fit_temperature, measure_loss


def make_logits(scale: float, seed: int = 0, count: int = 1500) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose labels follow softmax(logits / scale): the temperature is near the scale."""
    generator = torch.Generator().manual_seed(seed)
    true = 2 * torch.randn(count, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return scale * true, labels


@pytest.mark.parametrize("scale", [0.2, 1.0, 3.5])
def test_the_temperature_is_that_of_lbfgs_in_torch(scale: float) -> None:
    logits, labels = make_logits(scale)
    log = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = fit_temperature(logits.numpy(), labels.numpy())
    assert found == pytest.approx(float(log.detach().exp()), rel=1e-4)
    assert found == pytest.approx(scale, rel=0.15)


def test_losses_are_the_cross_entropies_of_torch() -> None:
    logits, labels = make_logits(2.0)
    expected = F.cross_entropy(logits / 1.7, labels, reduction="none")
    assert np.allclose(measure_loss(logits, labels, 1.7), expected)
    assert np.isfinite(measure_loss([[1e4, -1e4]], [1])).all()


def test_before_and_after_are_those_of_torchmetrics() -> None:
    logits, labels = make_logits(4.0)
    found = compare_temperatures(logits, labels, 4.0)
    for name, divisor in (("before", 1.0), ("after", 4.0)):
        reference = MulticlassCalibrationError(5, n_bins=15)((logits / divisor).softmax(1), labels)
        assert found[name]["ece"] == pytest.approx(float(reference), abs=1e-6)
        assert found[name]["ece_low"] <= found[name]["ece"] <= found[name]["ece_high"] + 0.02
        assert found[name]["loss"] == pytest.approx(float(F.cross_entropy(logits / divisor, labels)))
    assert found["after"]["ece_high"] < found["before"]["ece_low"]


def test_intervals_of_made_predictions_hold_the_true_error() -> None:
    """Of images with confidence c, c - 0.1 are right: the error is 0.1. At least 85 % of the intervals must hold it."""
    generator, held = np.random.default_rng(1), 0
    for _ in range(40):
        confidence = generator.uniform(0.5, 1, 800)
        found = describe_error(confidence, generator.random(800) < confidence - 0.1)
        held += found["ece_low"] <= 0.1 <= found["ece_high"]
    assert held >= 34


@pytest.mark.parametrize("sign", [1, -1])
def test_there_is_no_temperature_for_a_net_that_is_always_right_or_wrong(sign: int) -> None:
    logits = sign * np.eye(3)[[0, 1, 2] * 5]
    with pytest.raises(UserError, match=r"would be (0|infinite)"):
        fit_temperature(logits, np.array([0, 1, 2] * 5))
