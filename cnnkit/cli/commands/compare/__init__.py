"""``compare``: is one run really better than another?"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit.cli.outputs import check_png
from cnnkit.cli.parsing.options import Options, add_json, positive

if TYPE_CHECKING:
    import numpy as np

    from cnnkit.runs.candidates import Candidate
    from cnnkit.stats.comparison import Pair

DESCRIPTION = """\
Compare runs by what `test` kept of every test image. Two single runs are compared image by image: McNemar's exact test,
and a bootstrap of the images for the interval of the difference. Two folders of runs that differ by their seeds are
compared run by run: Welch's t test. Of several pairs, p has Holm's correction. docs/comparing.md says what the figures
mean and what they do not.

RUN is a run folder, or a folder of them (runs/<name>): its finished runs, one a seed. A study's folder, that of its
study.yaml or that of its runs, stands for all its variants."""
TEST_NAMES = {"mcnemar": "McNemar", "welch": "Welch", "none": "none"}


def arguments() -> Options:
    """The words of the command."""
    options = Options("compare", DESCRIPTION)
    options.add_argument("runs", nargs="+", metavar="RUN", help="what to compare, two or more")
    options.add_argument("-o", "--output", metavar="FILE", help="draw the test images they differ about, as PNG")
    options.add_argument("--images", type=positive, default=32, metavar="N", help="with -o: at the most so many (32)")
    add_json(options)
    return options


def run(asked: argparse.Namespace) -> int:
    """Print the comparison, and draw the images if that is asked for."""
    output = check_png(asked.output) if asked.output else None
    from cnnkit.runs.candidates import read_candidates
    from cnnkit.stats.comparison import agreement, compare, rank_disagreements

    sides, notes = read_candidates(asked.runs)
    pairs, same, places = compare(sides), agreement(sides), rank_disagreements(sides)
    if asked.json:
        drawn = _draw(output, sides, places[: asked.images], notes)
        print(json.dumps(_as_json(sides, pairs, same, places, notes, drawn), indent=2))
        return 0
    _print(sides, pairs, same, places)
    drawn = _draw(output, sides, places[: asked.images], notes)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if drawn:
        print(f"{min(len(places), asked.images):,} of the {len(places):,} images: {drawn}")
    return 0


def _draw(output: Path | None, sides: "Sequence[Candidate]", places: "np.ndarray", notes: list[str]) -> Path | None:
    """The picture's file, or None with a note."""
    if output is None:
        return None
    if not len(places):
        notes.append("no picture: all give the same answers")
        return None
    from cnnkit.cli.commands.compare.images import draw_differing

    reason = draw_differing(sides, places, output)
    if reason:
        notes.append(f"no picture: {reason}")
    return None if reason else output


# ---- on a terminal ---------------------------------------------------------------------------------------------------


def _letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"S{place + 1}"


def _print(sides: "Sequence[Candidate]", pairs: "Sequence[Pair]", same: "np.ndarray", places: "np.ndarray") -> None:
    from cnnkit.reporting.terminal import print_table

    images = len(sides[0].predictions[0].labels)
    print_table(
        ["", "run", "net", "runs", "test accuracy", "95 % interval"], [_side(k, s) for k, s in enumerate(sides)]
    )
    print()
    several = len(pairs) > 1
    single = any(pair.only_a is not None for pair in pairs)
    head = ["", "points", "95 % interval", *(["only first", "only second"] if single else []), "test", "p"]
    print_table([*head, *(["p, Holm"] if several else []), ""], [_pair(p, several, single) for p in pairs])
    if len(sides) > 2 or max(len(side.runs) for side in sides) > 1:
        print("\nthe same answer, mean over pairs of runs")
        head = ["", *map(_letter, range(len(sides)))]
        print_table(head, [[_letter(k), *map(_share, row)] for k, row in enumerate(same)])
    else:
        _print_agreement(sides, same)
    print(f"\n{_caption(pairs, images)}")
    together = ", each side by the mean probabilities of its runs" if max(len(side.runs) for side in sides) > 1 else ""
    print(f"{len(places):,} of {images:,} images are answered differently{together}")


def _side(place: int, side: "Candidate") -> list[str]:
    from cnnkit.reporting.tables import percent
    from cnnkit.stats.comparison import summarize_accuracy

    found = summarize_accuracy(side)
    spread = f" ± {100 * found.std:.2f}" if found.n > 1 else ""
    accuracy = f"{100 * found.mean:.2f}{spread} %"
    net = str(side.runs[0].get("net") or "")
    return [_letter(place), side.name, net, str(found.n), accuracy, f"{percent(found.low)} to {percent(found.high)}"]


def _pair(pair: "Pair", several: bool, single: bool) -> list[str]:
    from cnnkit.reporting.tables import p_value

    found = pair.difference
    interval = "none" if math.isnan(found.low) else f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
    only = ["" if count is None else f"{count:,}" for count in (pair.only_a, pair.only_b)] if single else []
    cells = [f"{_letter(pair.a)} - {_letter(pair.b)}", f"{100 * found.mean:+.2f}", interval, *only]
    cells += [TEST_NAMES[pair.test], p_value(found.p), *([p_value(pair.adjusted)] if several else [])]
    return [*cells, _verdict(pair)]


def _verdict(pair: "Pair") -> str:
    if pair.test == "none":
        return "a single run decides nothing"
    return "not told apart" if pair.better is None else f"{_letter(pair.better)} is better"


def _print_agreement(sides: "Sequence[Candidate]", same: "np.ndarray") -> None:
    """Two by two: which of two nets is right."""
    from cnnkit.reporting.terminal import print_table

    a, b = (side.predictions[0].correct for side in sides)
    counts = [[f"{int((x & y).sum()):,}" for y in (b, ~b)] for x in (a, ~a)]
    print()
    print_table(["images", "B right", "B wrong"], [["A right", *counts[0]], ["A wrong", *counts[1]]])
    print(f"the same answer: {_share(same[0, 1])}")


def _share(value: float) -> str:
    from cnnkit.reporting.tables import percent

    return "" if math.isnan(value) else percent(value)


def _caption(pairs: "Sequence[Pair]", images: int) -> str:
    """What the figures are."""
    tests = {pair.test for pair in pairs}
    lines = [f"Points: percentage points of accuracy on the same {images:,} test images, first less second."]
    if "mcnemar" in tests:
        lines.append(
            "McNemar: exact, image by image; interval: bootstrap over images. It compares trained nets, not methods;\n"
            "how much another seed changes is not in it. To compare methods, train each with several seeds."
        )
    if "welch" in tests:
        lines.append("Welch: t test over the runs, each one accuracy; interval: of the difference of the means.")
    if len(pairs) > 1:
        lines.append("Verdicts are by p with Holm's correction over all pairs, at 5 %.")
    return "\n".join(lines)


# ---- for programs ----------------------------------------------------------------------------------------------------


def _as_json(
    sides: "Sequence[Candidate]",
    pairs: "Sequence[Pair]",
    same: "np.ndarray",
    places: "np.ndarray",
    notes: Sequence[str],
    drawn: Path | None,
) -> dict[str, Any]:
    return {
        "images": len(sides[0].predictions[0].labels),
        "sides": [_side_json(side) for side in sides],
        "pairs": [_pair_json(sides, pair) for pair in pairs],
        "agreement": [[_number(value) for value in row] for row in same.tolist()],
        "differing_images": len(places),
        "picture": str(drawn) if drawn else None,
        "notes": list(notes),
    }


def _side_json(side: "Candidate") -> dict[str, Any]:
    from cnnkit.stats.comparison import summarize_accuracy

    found = summarize_accuracy(side)
    return {
        "name": side.name,
        "runs": [str(record.path) for record in side.runs],
        "seeds": [record.get("seed") for record in side.runs],
        "accuracies": side.accuracies,
        **{f"accuracy_{key}": _number(getattr(found, key)) for key in ("mean", "std", "low", "high")},
    }


def _pair_json(sides: "Sequence[Candidate]", pair: "Pair") -> dict[str, Any]:
    found = pair.difference
    return {
        "a": sides[pair.a].name,
        "b": sides[pair.b].name,
        "test": pair.test,
        "difference": found.mean,
        **{key: _number(getattr(found, key)) for key in ("low", "high", "p")},
        "p_holm": _number(pair.adjusted),
        "only_a": pair.only_a,
        "only_b": pair.only_b,
        "better": None if pair.better is None else sides[pair.better].name,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
