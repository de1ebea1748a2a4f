"""Scores of several labels an image, and the bootstrap of the mean average precision, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_score, recall_score

from cnnkit.runs.predictions import Predictions
from cnnkit.stats.labels import (
    _average_over_classes,
    compute_mean_average_precision,
    resample_mean_average_precision,
    score_labels,
)


def made_predictions(images: int = 60, seed: int = 0, skill: float = 1.0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = (np.random.default_rng(1).random((images, 3)) < (0.5, 0.3, 0.2)).astype(np.int16)
    probabilities = np.round(1 / (1 + np.exp(-skill * (2 * labels - 1) - rng.normal(0, 1, labels.shape))), 2)
    return Predictions(probabilities, (probabilities >= 0.4).astype(np.int16), labels, np.arange(images))


def test_scores_of_each_class_are_those_of_scikit_learn() -> None:
    found = made_predictions()
    for k, score in enumerate(score_labels(found)):
        has, predicted = found.labels[:, k], found.predicted[:, k]
        assert score.images == has.sum()
        assert score.precision == pytest.approx(precision_score(has, predicted))
        assert score.recall == pytest.approx(recall_score(has, predicted))
        assert score.average_precision == pytest.approx(average_precision_score(has, found.probabilities[:, k]))
    expected = average_precision_score(found.labels, found.probabilities, average="macro")
    assert compute_mean_average_precision(found) == pytest.approx(expected)


def test_a_drawn_test_set_has_the_score_of_its_images_repeated() -> None:
    found = made_predictions()
    weights = np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60), size=4)
    for row, score in zip(weights, _average_over_classes(weights, found), strict=True):
        places = np.repeat(np.arange(60), row)
        expected = average_precision_score(found.labels[places], found.probabilities[places], average="macro")
        assert score == pytest.approx(expected)


def test_draws_are_paired_so_differences_vary_less() -> None:
    one, other = made_predictions(seed=3), made_predictions(seed=4)
    drawn = resample_mean_average_precision([one, one, other], draws=300)
    assert drawn.shape == (3, 300)
    assert np.array_equal(drawn[0], drawn[1])
    assert np.quantile(drawn[0], 0.025) < compute_mean_average_precision(one) < np.quantile(drawn[0], 0.975)
    assert np.array_equal(drawn, resample_mean_average_precision([one, one, other], draws=300))


def test_a_class_that_no_image_has_is_left_out_of_the_mean() -> None:
    found = made_predictions()
    found.labels[:, 2] = 0
    expected = average_precision_score(found.labels[:, :2], found.probabilities[:, :2], average="macro")
    assert compute_mean_average_precision(found) == pytest.approx(expected)
