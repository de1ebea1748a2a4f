"""A comparison of runs with several labels an image, by their mean average precision."""

import itertools
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnnkit.reporting.tables import p_value
from cnnkit.reporting.terminal import print_table
from cnnkit.runs.candidates import Candidate
from cnnkit.stats.intervals import Summary, summarize_shares
from cnnkit.stats.labels import compute_mean_average_precision, resample_mean_average_precision
from cnnkit.stats.significance import Difference, holm, t_test_welch

LEVEL = 0.05
CAPTION = """\
Single runs: bootstrap over the same {images:,} test images, {draws:,} draws; the intervals of differences hold for all
pairs together (Bonferroni). It compares trained nets, not methods: the effect of another seed is not in it. Folders of
runs: Student's interval and Welch's t test over the runs, p with Holm's correction."""


def run_label_comparison(candidates: Sequence[Candidate], notes: list[str], *, as_json: bool, draws: bool) -> int:
    """Print the comparison; return the exit code.

    Args:
        candidates: two or more, tested on the same images.
        notes: sentences about what was left out.
        as_json: print plain values.
        draws: whether a picture was asked for, which there is none of.
    """
    if draws:
        notes.append("no picture: with several labels an image, no two answers are simply the same")
    single = [k for k, each in enumerate(candidates) if len(each.runs) == 1]
    drawn = (
        resample_mean_average_precision([candidates[k].predictions[0] for k in single]) if single else np.zeros((0, 0))
    )
    draws_of = dict(zip(single, drawn, strict=True))
    values = [[compute_mean_average_precision(found) for found in each.predictions] for each in candidates]
    summaries = [_summarize(of_runs, draws_of.get(k)) for k, of_runs in enumerate(values)]
    if any(each.low == each.high for each in summaries):
        notes.append("an interval of no width means that the bootstrap cannot tell, as for a perfect score")
    pairs = list(itertools.combinations(range(len(candidates)), 2))
    found = [_compare(values[a], values[b], draws_of.get(a), draws_of.get(b), len(pairs)) for a, b in pairs]
    tested = [k for k, each in enumerate(found) if not math.isnan(each.p)]
    adjusted = dict(zip(tested, holm([found[k].p for k in tested]), strict=True))
    better = [
        _find_better(pair, each, adjusted.get(k)) for k, (pair, each) in enumerate(zip(pairs, found, strict=True))
    ]
    if as_json:
        sides = [_side(*side) for side in zip(candidates, values, summaries, strict=True)]
        rows = zip(pairs, found, better, strict=True)
        said = [_pair(candidates, pair, each, best, adjusted.get(k)) for k, (pair, each, best) in enumerate(rows)]
        images = len(candidates[0].predictions[0].labels)
        print(json.dumps({"images": images, "sides": sides, "pairs": said, "notes": notes}, indent=2))
        return 0
    _print(candidates, summaries, pairs, found, better, adjusted, drawn.shape[-1])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return 0


def _summarize(values: Sequence[float], drawn: np.ndarray | None) -> Summary:
    summary = summarize_shares(values)
    if drawn is None:
        return summary
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return replace(summary, low=float(low), high=float(high))


def _compare(
    a: Sequence[float], b: Sequence[float], drawn_a: np.ndarray | None, drawn_b: np.ndarray | None, pairs: int
) -> Difference:
    """The difference of two candidates: of single runs by the draws, of folders by Welch's t test."""
    if drawn_a is None or drawn_b is None:
        return t_test_welch(a, b)
    low, high = np.quantile(drawn_a - drawn_b, [LEVEL / pairs / 2, 1 - LEVEL / pairs / 2])
    return Difference(a[0] - b[0], float(low), float(high), math.nan)


def _find_better(pair: tuple[int, int], difference: Difference, adjusted: float | None) -> int | None:
    significant = adjusted < LEVEL if adjusted is not None else difference.low > 0 or difference.high < 0
    return pair[difference.mean < 0] if significant else None


def _print(
    candidates: Sequence[Candidate],
    summaries: Sequence[Summary],
    pairs: Sequence[tuple[int, int]],
    found: Sequence[Difference],
    better: Sequence[int | None],
    adjusted: dict[int, float],
    draws: int,
) -> None:
    letters = [chr(ord("A") + k) if k < 26 else f"S{k + 1}" for k in range(len(candidates))]
    rows = [
        [
            letter,
            each.name,
            str(each.runs[0].get("net") or ""),
            str(s.n),
            f"{s.mean:.4f}",
            f"{s.low:.4f} to {s.high:.4f}",
        ]
        for letter, each, s in zip(letters, candidates, summaries, strict=True)
    ]
    print_table(["", "run", "net", "runs", "test/map", "95 % interval"], rows)
    print()
    table = []
    for k, ((a, b), difference, best) in enumerate(zip(pairs, found, better, strict=True)):
        known = not math.isnan(difference.low)
        verdict = "not significantly different" if best is None else f"{letters[best]} is better"
        table.append(
            [
                f"{letters[a]} - {letters[b]}",
                f"{difference.mean:+.4f}",
                f"{difference.low:+.4f} to {difference.high:+.4f}" if known else "none",
                p_value(adjusted[k]) if k in adjusted else "",
                verdict if known else "a single run decides nothing",
            ]
        )
    print_table(["", "difference", "interval", "p, Holm", ""], table)
    print(f"\n{CAPTION.format(images=len(candidates[0].predictions[0].labels), draws=draws)}")


def _side(candidate: Candidate, values: Sequence[float], summary: Summary) -> dict[str, Any]:
    numbers = {f"map_{key}": _number(getattr(summary, key)) for key in ("mean", "std", "low", "high")}
    return {"name": candidate.name, "runs": [str(r.path) for r in candidate.runs], "maps": list(values), **numbers}


def _pair(
    candidates: Sequence[Candidate], pair: tuple[int, int], found: Difference, best: int | None, adjusted: float | None
) -> dict[str, Any]:
    numbers = {key: _number(getattr(found, key)) for key in ("low", "high", "p")}
    names = {"a": candidates[pair[0]].name, "b": candidates[pair[1]].name, "difference": found.mean}
    return {**names, **numbers, "p_holm": adjusted, "better": None if best is None else candidates[best].name}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
