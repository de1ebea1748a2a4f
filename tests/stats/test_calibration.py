import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from cnnkit.stats.calibration import bin_predictions, calibration


@pytest.mark.parametrize(("bins", "classes"), [(15, 10), (10, 3), (1, 2)])
def test_the_error_is_that_of_torchmetrics(bins: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(bins)
    probabilities = (3 * torch.randn(2000, classes, generator=generator)).double().softmax(1)
    labels = torch.randint(classes, (2000,), generator=generator)
    reference = MulticlassCalibrationError(classes, n_bins=bins, norm="l1")(probabilities, labels)
    assert calibration(probabilities, labels, bins).error == pytest.approx(float(reference), abs=1e-6)


def test_a_bin_has_its_upper_edge_and_certainty_belongs_to_the_last_one() -> None:
    found = bin_predictions([0.5, 0.500001, 1.0], [True, False, True], bins=2)
    assert found.count.tolist() == [1, 2]
    assert found.accuracy.tolist() == [1.0, 0.5]


def test_empty_bins_do_not_count() -> None:
    found = calibration(np.array([[0.9, 0.1]] * 4), np.array([0, 0, 0, 1]))
    assert found.count.sum() == 4
    assert np.count_nonzero(found.count) == 1
    assert found.error == pytest.approx(0.15)
    assert np.isnan(bin_predictions([], []).error)
