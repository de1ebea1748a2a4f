"""Our statistics against scipy's and statsmodels'."""

import csv
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from cnnkit.errors import UserError
from cnnkit.stats.intervals import bootstrap_difference, summarize, summarize_shares, wilson_interval
from cnnkit.stats.significance import compare_with_best, holm, mcnemar_exact, t_test_welch

SCORES = np.random.default_rng(7).normal(0.9, [[0.01], [0.002], [0.03]], (3, 6))


@pytest.mark.parametrize("n", [2, 3, 6])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_of_a_mean_is_scipys(n: int, level: float) -> None:
    values = SCORES[0, :n]
    found = summarize(values.tolist(), level)
    expected = scipy.stats.t.interval(level, n - 1, values.mean(), scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    assert (found.mean, found.std, found.n) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), n)


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.9, 0.01, (1000, 3))
    hit = [(s := summarize(values)).low <= 0.9 <= s.high for values in draws.tolist()]
    assert np.mean(hit) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


def test_the_interval_of_an_accuracy_stays_between_0_and_100_percent() -> None:
    for values in ([0.1, 0.1, 0.6], [0.99, 1.0, 0.9], [0.9, 0.91, 0.92]):
        whole, cut = summarize(values), summarize_shares(values)
        assert (cut.low, cut.high) == (max(0.0, whole.low), min(1.0, whole.high))
        assert (cut.mean, cut.std, cut.n) == (whole.mean, whole.std, whole.n)


def test_one_run_or_none_has_no_interval() -> None:
    one, none = summarize([0.9]), summarize([])
    assert (one.mean, one.n) == (0.9, 1)
    assert all(map(math.isnan, (one.std, one.low, one.high, none.mean, none.std, none.low)))


@pytest.mark.parametrize(("k", "size"), [(1, 6), (2, 6), (1, 2), (2, 3)])
def test_welchs_test_is_scipys(k: int, size: int) -> None:
    a, b = SCORES[0, :5], SCORES[k, :size]
    found, expected = t_test_welch(a.tolist(), b.tolist()), scipy.stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.mean, found.p) == pytest.approx((a.mean() - b.mean(), expected.pvalue), abs=1e-10)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-10)


def test_a_single_run_decides_nothing() -> None:
    found = t_test_welch([0.9], [0.5, 0.51, 0.52])
    assert found.mean == pytest.approx(0.39)
    assert all(map(math.isnan, (found.low, found.high, found.p)))
    assert compare_with_best({"a": [0.9], "b": [0.1]}) == ("a", ["a", "b"])


def test_samples_without_spread() -> None:
    assert t_test_welch([0.5, 0.5], [0.5, 0.5]).p == 1
    assert t_test_welch([0.6, 0.6], [0.5, 0.5]).p == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = t_test_welch([0.6, 0.7, 0.8], [0.5, 0.5, 0.5])  # then it is the t test of one sample
    assert found.p == pytest.approx(scipy.stats.ttest_1samp([0.6, 0.7, 0.8], 0.5).pvalue)


def test_far_tails_keep_their_digits() -> None:
    a, b = [0.9 + k * 1e-5 for k in range(6)], [0.5 - k * 1e-5 for k in range(6)]
    t = (np.mean(a) - np.mean(b)) / math.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / 6)
    # The tail of Student's distribution with df degrees of freedom, for large t: c t^-df, here by its leading terms.
    df = 10
    c = math.gamma((df + 1) / 2) / math.sqrt(df * math.pi) / math.gamma(df / 2) * df ** ((df + 1) / 2)
    assert t_test_welch(a, b).p == pytest.approx(2 * c * t**-df / df, rel=1e-4)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (0, 20), (3, 3), (2, 9), (40, 61), (500, 430), (4000, 4300)])
def test_mcnemars_exact_test_is_statsmodels(b: int, c: int) -> None:
    expected = mcnemar([[100, b], [c, 50]], exact=True).pvalue
    assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(c, b) == mcnemar_exact(b, c)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 1), (5, 9), (9194, 10_000)])
def test_wilsons_interval_is_statsmodels(successes: int, n: int) -> None:
    expected = proportion_confint(successes, n, 0.05, "wilson")
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-12)


def test_holms_correction_is_statsmodels() -> None:
    for seed in range(4):
        p = (np.random.default_rng(seed).random(7) ** 3).round(2).tolist()  # rounded: with ties
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist(), abs=1e-12)
    assert holm([]) == []


def test_the_bootstrap_interval_is_scipys_up_to_chance() -> None:
    random = np.random.default_rng(3)
    a, b = random.random(900) < 0.9, random.random(900) < 0.86
    b |= a & (random.random(900) < 0.7)  # most images are easy for both
    expected = scipy.stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    # The standard error of a 2.5 % quantile of 10,000 draws is about 0.027 of their standard deviation.
    deviation = (a.astype(float) - b).std() / math.sqrt(900)
    assert bootstrap_difference(a, b) == pytest.approx((expected.low, expected.high), abs=0.15 * deviation + 1 / 900)
    assert bootstrap_difference(a, b) == bootstrap_difference(a, b)
    assert bootstrap_difference(a, a) == (0, 0)


def test_images_must_be_the_same_ones() -> None:
    for a, b in (([True], [True, False]), ([], [])):
        with pytest.raises(UserError, match="the same images"):
            bootstrap_difference(a, b)
    with pytest.raises(UserError, match="11 of 10"):
        wilson_interval(11, 10)
    with pytest.raises(UserError, match="cannot be negative"):
        mcnemar_exact(-1, 3)


def test_variants_are_told_from_the_best_by_welch_and_holm() -> None:
    close = [value - 0.001 for value in SCORES[1].tolist()]
    scores = {"good": SCORES[1].tolist(), "close": close, "bad": (SCORES[2] - 0.2).tolist(), "none": []}
    assert compare_with_best(scores) == ("good", ["good", "close"])
    losses = {name: [1 - value for value in values] for name, values in scores.items()}
    assert compare_with_best(losses, highest=False) == ("good", ["good", "close"])
    assert compare_with_best({"none": []}) == (None, [])


def test_a_second_comparison_makes_the_first_one_less_sure() -> None:
    a, b = [0.90, 0.91, 0.92], [0.875, 0.885, 0.895]
    assert 0.025 < t_test_welch(a, b).p < 0.05
    assert compare_with_best({"a": a, "b": b}) == ("a", ["a"])
    assert compare_with_best({"a": a, "b": b, "c": a[::-1]}) == ("a", ["a", "b", "c"])


def test_intervals_and_tests_of_the_stored_studies_are_scipys() -> None:
    files = sorted((Path(__file__).parents[2] / "experiments").glob("*/results.csv"))
    assert files
    for file in files:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = [row for row in csv.DictReader(opened) if row["status"] == "done"]
        scores: dict[tuple[str, ...], list[float]] = {}
        for row in rows:
            columns = list(row)
            levels = tuple(row[name] for name in columns[: columns.index("seed")])
            scores.setdefault(levels, []).append(float(row[columns[columns.index("status") + 1]]))
        several = [values for values in scores.values() if len(set(values)) > 1]
        for values in several:
            found = summarize(values)
            expected = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
            assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
            expected = scipy.stats.ttest_ind(several[0], values, equal_var=False).pvalue
            assert t_test_welch(several[0], values).p == pytest.approx(expected, abs=1e-10)
