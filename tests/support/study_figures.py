"""Numbers of a study, computed by SciPy from its results.csv alone: the tests compare the READMEs with them.

A template is a sentence with fields in braces:

    {mean A}            mean of variant A in percent, one decimal; {mean2 A} two decimals
    {diff A - B}        difference of the means in points, one decimal; {diff2 A - B} two
    {ci A - B}          Welch's 95 % interval of that difference, ``low to high``; {ci2 A - B} two decimals
    {mean_ci A}         Student's 95 % interval of the mean; {single A} the prediction interval of one further run
    {p A - B}           p of Welch's test
    {holm A - B; ...}   p of the first comparison after Holm's correction for all comparisons in the list
    {inter A, B, C, D}  (A - B) - (C - D) in points; {inter_ci A, B, C, D} its 95 % interval (Welch-Satterthwaite)
    {column A}          median of a column, such as {parameters A}, {macs A} in millions, {minutes A}

    {one_view A}        mean of test/acc where the metric averages over views; two decimals
    {seconds A}         median seconds of training

A variant is written as its levels, joined by `` | ``; the only variant of a study without factors is ``all``.
"""

import csv
import re
from pathlib import Path
from statistics import fmean, median, variance

from scipy import stats

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


class Results:
    """The runs of one study, by variant."""

    def __init__(self, folder: str) -> None:
        self.folder = EXPERIMENTS / folder
        with (self.folder / "results.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = list(rows[0])
        factors, self.metric = columns[: columns.index("seed")], columns[columns.index("status") + 1]
        self.rows: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            self.rows.setdefault(" | ".join(row[factor] for factor in factors) or "all", []).append(row)

    def scores(self, variant: str) -> list[float]:
        """The metric of each run in percent."""
        return [100 * float(row[self.metric]) for row in self.rows[variant.strip()]]

    def welch(self, a: str, b: str) -> tuple[float, float, float, float]:
        """Difference of the means, its 95 % interval, p."""
        found = stats.ttest_ind(self.scores(a), self.scores(b), equal_var=False)
        low, high = found.confidence_interval(0.95)
        return fmean(self.scores(a)) - fmean(self.scores(b)), low, high, found.pvalue

    def interaction(self, *variants: str) -> tuple[float, float, float]:
        """(A - B) - (C - D) and its 95 % interval, with the degrees of freedom of Welch and Satterthwaite."""
        scores = [self.scores(each) for each in variants]
        parts = [variance(each) / len(each) for each in scores]
        a, b, c, d = (fmean(each) for each in scores)
        df = sum(parts) ** 2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, scores, strict=True))
        half = stats.t.ppf(0.975, df) * sum(parts) ** 0.5
        return a - b - (c - d), a - b - (c - d) - half, a - b - (c - d) + half

    def fill(self, template: str) -> str:
        """The sentence with its figures."""
        return re.sub(r"\{(\w+) ([^}]+)\}", lambda m: self._figure(m[1], m[2]), template)

    def _figure(self, kind: str, what: str) -> str:
        if kind in ("mean", "mean2"):
            return f"{fmean(self.scores(what)):.{2 if kind[-1] == '2' else 1}f}"
        if kind.rstrip("2") in ("mean_ci", "single"):
            scores, digits = self.scores(what), 2 if kind[-1] == "2" else 1
            spread = variance(scores) * (1 / len(scores) + kind.startswith("single"))
            half = stats.t.ppf(0.975, len(scores) - 1) * spread**0.5
            return f"{fmean(scores) - half:.{digits}f} to {fmean(scores) + half:.{digits}f}"
        if kind in ("diff", "diff2", "ci", "ci2", "p"):
            a, b = what.split(" - ")
            difference, low, high, p = self.welch(a, b)
            digits = 2 if kind[-1] == "2" else 1
            if kind == "p":
                return f"{p:.2g}" if p >= 0.001 else "below 0.001"
            if kind.startswith("diff"):
                return f"{difference:.{digits}f}"
            return f"{low:.{digits}f} to {high:.{digits}f}"
        if kind == "holm":  # {holm a - b; c - d; ...}: of the first, among all of them
            ps = [self.welch(*pair.split(" - "))[3] for pair in what.split("; ")]
            return f"{_holm(ps)[0]:.2g}"
        if kind in ("inter", "inter_ci"):
            difference, low, high = self.interaction(*what.split(", "))
            return f"{difference:.1f}" if kind == "inter" else f"{low:.1f} to {high:.1f}"
        column = {"minutes": "train_seconds", "seconds": "train_seconds", "one_view": "test/acc"}.get(kind, kind)
        values = [row[column] for row in self.rows[what]]
        if kind == "one_view":
            return f"{100 * fmean(map(float, values)):.2f}"
        if kind == "seconds":
            return f"{median(map(float, values)):.1f}"
        if kind == "minutes":
            return f"{median(map(float, values)) / 60:.1f}"
        if kind == "macs":
            return f"{int(values[0]) / 1e6:.1f}"
        return f"{int(values[0]):,}"


def _holm(ps: list[float]) -> list[float]:
    order, adjusted, largest = sorted(range(len(ps)), key=ps.__getitem__), [0.0] * len(ps), 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[k]))
        adjusted[k] = largest
    return adjusted
