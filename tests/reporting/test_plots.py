"""Figures: what stands in them, for few and many classes, and names that would be read as formulas."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cnnkit.reporting import figures as plots
from cnnkit.stats.calibration import bin_predictions


def counts(classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 50, (classes, classes))


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def labels(ticks: Any) -> list[str]:
    return [tick.get_text() for tick in ticks]


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_a_confusion_matrix_has_rows_of_true_classes_and_its_counts(classes: int) -> None:
    matrix = counts(classes)
    axes = plots.confusion_figure(matrix, [f"c{k}" for k in range(classes)]).axes[0]
    assert [int(text) for text in texts(axes)] == matrix.flatten().tolist()
    places = [text.get_position() for text in axes.texts]  # x is the column
    assert all(
        matrix[row, column] == int(text.get_text()) for (column, row), text in zip(places, axes.texts, strict=True)
    )
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(matrix / matrix.sum(1, keepdims=True))


def test_percentages_are_those_of_a_row_and_empty_cells_stay_empty() -> None:
    matrix = np.array([[3, 1, 0], [0, 5, 0], [0, 0, 0]])  # nothing of the third class
    axes = plots.confusion_figure(matrix, ["a", "b", "c"], percent=True).axes[0]
    assert texts(axes) == ["75.0", "25.0", "100.0"]


def test_with_many_classes_cells_are_colors_alone() -> None:
    names = [f"class {k}" for k in range(100)]
    for classes, named in ((31, True), (100, False)):
        axes = plots.confusion_figure(counts(classes), names[:classes]).axes[0]
        assert texts(axes) == []
        assert (labels(axes.get_yticklabels()) == names[:classes]) == named


@pytest.mark.parametrize("name", ["$", "$\\frac{$", "a_b^c", "\x1b[2J", "猫", "x" * 300])
def test_any_name_can_be_drawn(name: str, recwarn: pytest.WarningsRecorder) -> None:
    matrix = counts(2)
    for figure in (
        plots.confusion_figure(matrix, [name, "b"]),
        plots.class_accuracy_figure(matrix, [name, "b"]),
    ):
        assert plots.png_bytes(figure, 30).startswith(b"\x89PNG")
        shown = {*labels(figure.axes[0].get_yticklabels())}
        assert all(text.isprintable() and len(text) <= 22 for text in shown)
    assert not recwarn.list


def test_a_reliability_diagram_shows_the_bins_that_have_predictions() -> None:
    confidence = np.array([0.55, 0.65, 0.95, 0.95, 0.95, 0.95])
    right = np.array([0, 1, 1, 1, 1, 0])
    found = bin_predictions(confidence, right, bins=10)
    upper, lower = plots.reliability_figure(found).axes
    bars = {round(bar.get_x(), 3): bar.get_height() for bar in upper.patches}
    assert bars == pytest.approx({0.5: 0, 0.6: 1, 0.9: 0.75})
    assert texts(lower) == ["1", "1", "4"]
    by_hand = (0.55 * 1 + 0.35 * 1 + 0.2 * 4) / 6
    assert f"{by_hand:.3f}" in upper.get_title()
    assert "n = 6" in upper.get_title()


def rows() -> Iterator[dict[str, float]]:
    yield {"step": 4, "epoch": 0, "train/loss_step": 9.0}
    for epoch in range(3):
        yield {"step": 9, "epoch": epoch, "train/loss": 3 - epoch, "val/loss": 4 - epoch, "val/acc": 0.1 * epoch}


def test_curves_are_drawn_against_the_epochs_that_are_over() -> None:
    loss, accuracy = plots.curves_figure(list(rows()), ["loss", "acc"]).axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in loss.lines}
    assert drawn == {"train/loss": ([1, 2, 3], [3, 2, 1]), "val/loss": ([1, 2, 3], [4, 3, 2])}
    assert [line.get_label() for line in accuracy.lines] == ["val/acc"]
    plots.png_bytes(plots.curves_figure([], ["loss"]), 30)  # nothing logged yet


def test_classes_stand_by_accuracy_the_lowest_first_without_absent_ones() -> None:
    matrix = np.array([[9, 1, 0], [5, 5, 0], [0, 0, 0]])
    axes = plots.class_accuracy_figure(matrix, ["good", "bad", "absent"]).axes[0]
    assert labels(axes.get_yticklabels()) == ["bad", "good"]
    assert texts(axes) == ["50.0%", "90.0%"]
    assert axes.get_legend().get_texts()[0].get_text() == "all 70.00%"


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert len({plots.png_bytes(plots.confusion_figure(counts(3), "abc"), 50) for _ in range(2)}) == 1
