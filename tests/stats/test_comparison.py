"""Sides of a comparison, and what is made of them, against scipy and statsmodels."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import yaml
from fake_runs import fake_run, rightly
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from cnnkit.errors import UserError
from cnnkit.runs import ROOT
from cnnkit.runs.candidates import read_candidates
from cnnkit.stats.comparison import agreement, compare, rank_disagreements, summarize_accuracy

IMAGES = 400
DAY = "2026-01-{:02d}T00:00:00+00:00"


def seeds(folder: Path, accuracies: list[float], **more: object) -> Path:
    """A folder of runs, one a seed."""
    for seed, accuracy in enumerate(accuracies):
        right = np.random.default_rng([seed, len(folder.name)]).permutation(IMAGES) < accuracy * IMAGES
        fake_run(folder / f"run{seed}", seed=seed, correct=right, started=DAY.format(seed + 1), **more)  # type: ignore[arg-type]
    return folder


def test_two_runs_are_compared_image_by_image(tmp_path: Path) -> None:
    a = fake_run(tmp_path / "a/1", correct=rightly(IMAGES, range(30)))
    b = fake_run(tmp_path / "b/1", correct=rightly(IMAGES, range(20, 60)))
    sides, notes = read_candidates([a, b])
    (pair,) = compare(sides)
    assert notes == []
    assert (pair.test, pair.only_a, pair.only_b) == ("mcnemar", 30, 20)
    assert pair.difference.mean == pytest.approx(10 / IMAGES)
    assert pair.difference.p == pytest.approx(mcnemar([[340, 30], [20, 10]], exact=True).pvalue)
    assert pair.adjusted == pair.difference.p
    assert pair.difference.low < 0 < pair.difference.mean < pair.difference.high
    assert pair.better is None
    assert agreement(sides)[0, 1] == pytest.approx(350 / IMAGES)  # wrong in the same way on ten
    assert sorted(rank_disagreements(sides).tolist()) == [*range(20), *range(30, 60)]
    found = summarize_accuracy(sides[0])
    expected = scipy.stats.binomtest(370, IMAGES).proportion_ci(method="wilson")
    assert (found.mean, found.low, found.high) == pytest.approx((370 / IMAGES, expected.low, expected.high))


def test_the_better_of_two_nets_is_named(tmp_path: Path) -> None:
    a = fake_run(tmp_path / "a/1", correct=rightly(IMAGES, range(50)))
    b = fake_run(tmp_path / "b/1", correct=rightly(IMAGES, range(20)))
    (pair,) = compare(read_candidates([a, b])[0])
    assert pair.better == pair.b


def test_folders_of_runs_are_compared_by_their_runs(tmp_path: Path) -> None:
    scores = [0.91, 0.9, 0.92], [0.88, 0.865, 0.885, 0.8725]
    a, b = (seeds(tmp_path / name, of) for name, of in zip(("a", "bb"), scores, strict=True))
    sides, _ = read_candidates([a, b])
    (pair,) = compare(sides)
    assert [side.accuracies for side in sides] == [pytest.approx(of) for of in scores]
    expected = scipy.stats.ttest_ind(*scores, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (pair.test, pair.better, pair.only_a) == ("welch", 0, None)
    found = pair.difference
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    t = scipy.stats.t.interval(0.95, 2, np.mean(scores[0]), scipy.stats.sem(scores[0]))
    assert (summarize_accuracy(sides[0]).low, summarize_accuracy(sides[0]).high) == pytest.approx(t)


def test_the_agreement_is_the_mean_over_pairs_of_runs(tmp_path: Path) -> None:
    sides, _ = read_candidates([seeds(tmp_path / "a", [0.9, 0.8]), seeds(tmp_path / "bb", [0.7, 0.6])])
    same = agreement(sides)
    answers = [[p.predicted for p in side.predictions] for side in sides]
    assert same[0, 0] == np.mean(answers[0][0] == answers[0][1])
    assert (
        same[0, 1] == same[1, 0] == pytest.approx(np.mean([[(p == q).mean() for q in answers[1]] for p in answers[0]]))
    )


def test_p_values_of_several_pairs_are_corrected_together(tmp_path: Path) -> None:
    paths = [fake_run(tmp_path / f"{k}/1", correct=rightly(IMAGES, range(10 * k))) for k in range(1, 4)]
    pairs = compare(read_candidates(paths)[0])
    assert [(pair.a, pair.b) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    expected = multipletests([pair.difference.p for pair in pairs], method="holm")[1]
    assert [pair.adjusted for pair in pairs] == pytest.approx(expected.tolist())


def test_a_single_run_against_a_folder_decides_nothing(tmp_path: Path) -> None:
    one = fake_run(tmp_path / "one/1", correct=rightly(IMAGES, range(390)))
    other = fake_run(tmp_path / "other/1", correct=rightly(IMAGES, []))
    pairs = compare(read_candidates([seeds(tmp_path / "many", [0.9, 0.91, 0.92]), one, other])[0])
    assert [pair.test for pair in pairs] == ["none", "none", "mcnemar"]
    assert pairs[0].better is None
    assert math.isnan(pairs[0].adjusted)
    assert pairs[2].adjusted == pairs[2].difference.p  # what is not tested is not corrected for


def test_images_they_differ_most_about_come_first(tmp_path: Path) -> None:
    a, b = (fake_run(tmp_path / f"{name}/1", correct=rightly(6, [5])) for name in "ab")
    sides, _ = read_candidates([a, b])
    found = sides[1].predictions[0]
    for place, confidence in ((1, 0.4), (3, 0.9), (4, 0.5)):
        found.predicted[place] = (found.labels[place] + 1) % 4
        found.probabilities[place] = 0
        found.probabilities[place, found.predicted[place]] = confidence
        found.probabilities[place, found.labels[place]] = 1 - confidence if confidence > 0.5 else 0.3
    assert rank_disagreements(sides).tolist() == [3, 1, 4]


def test_of_a_folder_the_runs_count_that_repeat_the_newest_one(tmp_path: Path) -> None:
    folder = seeds(tmp_path / "a", [0.9, 0.8, 0.7])
    right = rightly(IMAGES, range(4))
    fake_run(folder / "again", seed=1, started=DAY.format(20), correct=right)
    fake_run(folder / "other", seed=5, dropout=0.5, correct=right)
    fake_run(folder / "changed", seed=6, code="c1", correct=right)
    fake_run(folder / "cut", seed=7, status="stopped")
    sides, notes = read_candidates([folder, seeds(tmp_path / "bb", [0.5, 0.6])])
    assert [record.path.name for record in sides[0].runs] == ["run0", "again", "run2"]
    assert [note.partition(": ")[2] for note in notes] == [
        "1 of 7 runs are not finished: left out",
        "2 finished runs are unlike again, left out: changed in code",
        "1 older runs with a seed that was used again: left out",
    ]


def test_where_the_data_lie_and_who_reads_them_makes_no_other_configuration(tmp_path: Path) -> None:
    folder = seeds(tmp_path / "a", [0.9, 0.8])
    file = folder / "run1/config.yaml"
    config = yaml.safe_load(file.read_text())
    config["data"]["init_args"] |= {"data_dir": "/elsewhere", "num_workers": 2}
    file.write_text(yaml.safe_dump(config | {"watch": {"class_path": "cnnkit.Watch", "init_args": {"graph": False}}}))
    sides, notes = read_candidates([folder, seeds(tmp_path / "bb", [0.5, 0.6])])
    assert (len(sides[0].runs), notes) == (2, [])


def test_a_study_stands_for_its_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Path("experiments/why")
    study.mkdir(parents=True)
    (study / "study.yaml").touch()
    with pytest.raises(UserError, match="runs/why has no runs of this study; cnnkit study experiments/why"):
        read_candidates([study])
    for name in ("plain", "wide"):
        seeds(Path(ROOT) / "why" / name, [0.8, 0.9])
    (Path(ROOT) / "why/.lock").touch()
    assert [side.name for side in read_candidates([study])[0]] == ["runs/why/plain", "runs/why/wide"]
    assert [side.name for side in read_candidates(["runs/why"])[0]] == ["runs/why/plain", "runs/why/wide"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"fingerprint": "f1", "name": "Other"}, r"were tested on different data \(Made, f0; Other, f1\)"),
        ({"split": "s1", "split_seed": 1}, "chose their best epochs by different validation images; train one"),
        ({"split": "s1", "val_images": 20}, "chose their best epochs by different validation images"),
        ({"split": "s1"}, "chose their best epochs by different validation images"),
        ({"split": "s1", "split_seed": None, "val_images": None}, "chose their best epochs by different"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, data: dict[str, object], expected: str) -> None:
    right = rightly(IMAGES, [0])
    a, b = fake_run(tmp_path / "a/1", correct=right), fake_run(tmp_path / "b/1", correct=right, data=data)
    with pytest.raises(UserError, match=expected) as refused:
        read_candidates([a, b])
    assert str(refused.value).startswith(f"{a} and {b}")


def test_other_labels_are_another_test_set(tmp_path: Path) -> None:
    a = fake_run(tmp_path / "a/1", correct=rightly(IMAGES, [0]))
    fewer = fake_run(tmp_path / "b/1", correct=rightly(IMAGES - 1, [0]))
    other = fake_run(tmp_path / "c/1", correct=rightly(IMAGES, [0]), labels=np.arange(IMAGES) % 4)
    for path in (fewer, other):
        with pytest.raises(UserError, match=f"different images .*cnnkit test --run {path}"):
            read_candidates([a, path])


def test_fewer_training_images_are_a_note(tmp_path: Path) -> None:
    right = rightly(IMAGES, [0])
    fewer = fake_run(tmp_path / "a/1", correct=right, data={"split": "s1", "train_images": 9})
    _, notes = read_candidates([fewer, fake_run(tmp_path / "b/1", correct=right)])
    assert notes == ["trained on different numbers of images: 9, 90"]


def test_runs_must_be_there_and_tested(tmp_path: Path) -> None:
    a = fake_run(tmp_path / "a/1", correct=rightly(IMAGES, [0]))
    untested = fake_run(tmp_path / "b/1")
    (tmp_path / "empty").mkdir()
    expected = {
        (untested,): f"{untested}: is not tested yet; test it first: cnnkit test --run {untested}",
        (tmp_path / "none",): "no such run folder",
        (tmp_path / "empty",): "not a run folder, nor a folder of runs",
        (a,): f"{a}: a run cannot be compared with itself",
    }
    for paths, message in expected.items():
        with pytest.raises(UserError, match=message):
            read_candidates([a, *paths])
    with pytest.raises(UserError, match="nothing to compare it with; name two or more"):
        read_candidates([a])
    fake_run(tmp_path / "c/1", status="failed")
    with pytest.raises(UserError, match="none of its 1 runs is finished"):
        read_candidates([a, tmp_path / "c"])
