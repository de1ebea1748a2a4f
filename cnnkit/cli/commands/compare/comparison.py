"""A comparison of runs as tables on a terminal and as plain values for JSON."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.cli.commands.compare.images import draw_disagreements
from cnnkit.reporting.tables import p_value, percent
from cnnkit.reporting.terminal import print_table
from cnnkit.runs.candidates import Candidate
from cnnkit.stats.comparison import Pair, agreement, compare, rank_disagreements, summarize_accuracy

TEST_NAMES = {"mcnemar": "McNemar", "welch": "Welch", "none": "none"}
CAPTIONS = {
    "mcnemar": "McNemar: exact, image by image; interval: bootstrap over images. "
    "It compares trained nets, not methods:\nthe effect of another seed is not in it. To compare methods, train each "
    "with several seeds.",
    "welch": "Welch: t test over the runs, each one accuracy; interval: of the difference of the means.",
}


@dataclass
class Comparison:
    """What a comparison of candidates says.

    Args:
        candidates: two or more, tested on the same images.
        notes: sentences about what was left out.
    """

    candidates: list[Candidate]
    notes: list[str]

    def __post_init__(self) -> None:
        self.pairs = compare(self.candidates)
        self.agreement = agreement(self.candidates)
        self.places = rank_disagreements(self.candidates)
        self.images = len(self.candidates[0].predictions[0].labels)
        self.has_repetitions = max(len(each.runs) for each in self.candidates) > 1

    @cached_property
    def letters(self) -> list[str]:
        """A short name for each candidate."""
        return [chr(ord("A") + k) if k < 26 else f"S{k + 1}" for k in range(len(self.candidates))]

    def draw(self, output: Path, most: int) -> Path | None:
        """Draw the images that the candidates disagree about; return the file, or None with a note that says why."""
        reason = "all give the same answers"
        if len(self.places):
            reason = draw_disagreements(self.candidates, self.places[:most], output)
        if reason:
            self.notes.append(f"no picture: {reason}")
        return None if reason else output

    def print(self) -> None:
        """Print the candidates, the pairs, and how often they agree."""
        head = ["", "run", "net", "runs", "test accuracy", "95 % interval"]
        rows = map(_describe_candidate, self.candidates)
        print_table(head, [[x, *row] for x, row in zip(self.letters, rows, strict=True)])
        print()
        self._print_pairs()
        if len(self.candidates) > 2 or self.has_repetitions:
            print("\nthe same answer, mean over pairs of runs")
            shares = [map(_percent, row) for row in self.agreement]
            print_table(["", *self.letters], [[x, *row] for x, row in zip(self.letters, shares, strict=True)])
        else:
            a, b = (each.predictions[0].correct for each in self.candidates)
            counts = [[f"{int((x & y).sum()):,}" for y in (b, ~b)] for x in (a, ~a)]
            print()
            print_table(["images", "B right", "B wrong"], [["A right", *counts[0]], ["A wrong", *counts[1]]])
            print(f"the same answer: {_percent(self.agreement[0, 1])}")
        print(f"\nPoints: percentage points of accuracy on the same {self.images:,} test images, first less second.")
        for test in dict.fromkeys(pair.test for pair in sorted(self.pairs, key=lambda pair: pair.test)):
            if test in CAPTIONS:
                print(CAPTIONS[test])
        if len(self.pairs) > 1:
            print("Verdicts are by p with Holm's correction over all pairs, at 5 %.")
        together = ", each side by the mean probabilities of its runs" if self.has_repetitions else ""
        print(f"{len(self.places):,} of {self.images:,} images are answered differently{together}")

    def _print_pairs(self) -> None:
        columns: dict[str, list[str]] = {
            "": [f"{self.letters[pair.a]} - {self.letters[pair.b]}" for pair in self.pairs],
            "points": [f"{100 * pair.difference.mean:+.2f}" for pair in self.pairs],
            "95 % interval": [_interval(pair) for pair in self.pairs],
        }
        if any(pair.only_a is not None for pair in self.pairs):
            columns["only first"] = ["" if pair.only_a is None else f"{pair.only_a:,}" for pair in self.pairs]
            columns["only second"] = ["" if pair.only_b is None else f"{pair.only_b:,}" for pair in self.pairs]
        columns["test"] = [TEST_NAMES[pair.test] for pair in self.pairs]
        columns["p"] = [p_value(pair.difference.p) for pair in self.pairs]
        if len(self.pairs) > 1:
            columns["p, Holm"] = [p_value(pair.adjusted) for pair in self.pairs]
        verdicts = [self._verdict(pair) for pair in self.pairs]
        print_table([*columns, ""], list(zip(*columns.values(), verdicts, strict=True)))

    def _verdict(self, pair: Pair) -> str:
        if pair.test == "none":
            return "a single run decides nothing"
        return "not significantly different" if pair.better is None else f"{self.letters[pair.better]} is better"

    def as_json(self, picture: Path | None) -> dict[str, Any]:
        """Plain values."""
        return {
            "images": self.images,
            "sides": [_candidate_as_json(each) for each in self.candidates],
            "pairs": [self._pair_as_json(pair) for pair in self.pairs],
            "agreement": [[_number(value) for value in row] for row in self.agreement.tolist()],
            "differing_images": len(self.places),
            "picture": str(picture) if picture else None,
            "notes": self.notes,
        }

    def _pair_as_json(self, pair: Pair) -> dict[str, Any]:
        names = [each.name for each in self.candidates]
        return {
            "a": names[pair.a],
            "b": names[pair.b],
            "test": pair.test,
            "difference": pair.difference.mean,
            **{key: _number(getattr(pair.difference, key)) for key in ("low", "high", "p")},
            "p_holm": _number(pair.adjusted),
            "only_a": pair.only_a,
            "only_b": pair.only_b,
            "better": None if pair.better is None else names[pair.better],
        }


def _describe_candidate(candidate: Candidate) -> list[str]:
    summary = summarize_accuracy(candidate)
    spread = f" ± {100 * summary.std:.2f}" if summary.n > 1 else ""
    accuracy, interval = f"{100 * summary.mean:.2f}{spread} %", f"{percent(summary.low)} to {percent(summary.high)}"
    return [candidate.name, str(candidate.runs[0].get("net") or ""), str(summary.n), accuracy, interval]


def _candidate_as_json(candidate: Candidate) -> dict[str, Any]:
    summary = summarize_accuracy(candidate)
    return {
        "name": candidate.name,
        "runs": [str(record.path) for record in candidate.runs],
        "seeds": [record.get("seed") for record in candidate.runs],
        "accuracies": candidate.accuracies,
        **{f"accuracy_{key}": _number(getattr(summary, key)) for key in ("mean", "std", "low", "high")},
    }


def _interval(pair: Pair) -> str:
    low, high = pair.difference.low, pair.difference.high
    return "none" if math.isnan(low) else f"{100 * low:+.2f} to {100 * high:+.2f}"


def _percent(share: np.floating) -> str:
    return "" if math.isnan(share) else percent(float(share))


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
