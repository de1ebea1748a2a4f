"""What the dashboards' callbacks compute, without a run."""

import mmap
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cnnkit.callbacks.memory import peak_resident
from cnnkit.dashboards import Confusion, Mistakes, PRCurves
from cnnkit.dashboards.board import TimeBudget

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.9, 0.0], [0.3, 0.3, 0.4], [0.05, 0.0, 0.95]])
STATM = Path("/proc/self/statm")
LABELS = torch.tensor([0, 0, 1, 1])


class Paper:
    """A board that keeps what is drawn."""

    def __init__(self) -> None:
        self.drawn: dict[str, Any] = {}
        self.step, self.tensorboard, self.experiment = 0, self, self

    def add_figure(self, tag: str, figure: Any) -> None:
        self.drawn[tag] = figure

    def add_picture(self, tag: str, image: Any) -> None:
        self.drawn[tag] = image

    def add_pr_curve(self, tag: str, labels: Any, predictions: Any, step: int) -> None:
        self.drawn[tag] = (labels, predictions)


def trainer(**more: Any) -> Any:
    data = SimpleNamespace(class_names=("ant", "bee", "cat"))
    plain = {"datamodule": data, "max_epochs": 10, "max_steps": -1, "should_stop": False, "is_last_batch": True}
    return SimpleNamespace(**{**plain, "current_epoch": 0, "global_step": 3, "loggers": [], **more})


def test_the_most_confident_mistakes_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    captions: list[str] = []

    def images(trainer: Any, places: Any) -> torch.Tensor:
        asked.extend(places)
        return torch.zeros(len(places), 1, 8, 8)

    def grid(pictures: Any, texts: Any, scale: int) -> torch.Tensor:
        captions.extend(texts)
        return torch.zeros(3, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr("cnnkit.dashboards.mistakes.validation_images", images)
    monkeypatch.setattr("cnnkit.dashboards.mistakes.captioned_grid", grid)
    mistakes = Mistakes(images=2)
    mistakes.draw(trainer(), Paper(), mistakes.keep(PROBABILITIES, LABELS).numpy())  # type: ignore[arg-type]
    assert asked == [3, 1]  # the first image is right, the third one the least confident
    assert captions == ["bee, not\ncat 95%", "ant, not\nbee 90%"]


def test_a_class_s_accuracy_is_the_share_of_its_own_images_that_are_right() -> None:
    logged: dict[str, float] = {}
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.update(values))
    confusion = Confusion()
    kept = confusion.keep(PROBABILITIES, LABELS).numpy()
    confusion.log_scores(trainer(loggers=[logger]), None, kept)  # type: ignore[arg-type]
    assert logged == {"val/acc_class/ant": 0.5, "val/acc_class/bee": 0.0}  # there is no cat


def test_a_curve_is_that_of_one_class_against_all_others() -> None:
    paper, curves = Paper(), PRCurves()
    curves.draw(trainer(), paper, curves.keep(PROBABILITIES, LABELS).numpy())  # type: ignore[arg-type]
    labels, scores = paper.drawn["pr/bee"]
    assert labels.tolist() == [False, False, True, True]
    assert np.allclose(scores, PROBABILITIES[:, 1])
    assert list(paper.drawn) == ["pr/ant", "pr/bee", "pr/cat"]


def test_drawing_takes_its_share_of_the_time_and_the_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    budget, drawn = TimeBudget(0.01), []
    for epoch in range(10):
        clock[0] += 5
        if budget.is_left(trainer(current_epoch=epoch)):
            with budget.spending():
                clock[0] += 0.2  # as much as 20 s allow
            drawn.append(epoch)
    assert drawn == [0, 3, 7, 9]


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
def test_peak_memory_grows_with_what_is_held_and_does_not_fall() -> None:
    resident = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    before = peak_resident()
    assert before >= resident
    with mmap.mmap(-1, before - resident + 80_000_000) as held:  # not from what malloc may have kept
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        assert peak_resident() - before > 40e6
    assert peak_resident() - before > 40e6
