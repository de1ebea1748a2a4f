"""``classroom translation``: accuracy when the test images are shifted."""

import argparse
from dataclasses import asdict
from typing import Any

from cnnkit.cli.commands.classroom import robustness
from cnnkit.cli.parsing.options import Options, natural

DESCRIPTION = f"""\
Move the test images of runs up, down, left and right, fill with black, and print and draw the accuracy against the
shift, the mean of the four directions.

{robustness.RUNS}"""


def arguments() -> Options:
    """The words of the command."""
    options = robustness.make_options("translation", DESCRIPTION)
    options.add_argument(
        "--shifts", nargs="+", type=natural, default=list(range(7)), metavar="N", help="pixels (default: 0 to 6)"
    )
    return options


def run(args: argparse.Namespace) -> int:
    """Measure every run, print the table, write the plot."""
    measurement = robustness.Measurement(args, "shift")
    from cnnkit.inspection.challenges import shift_four_ways, translation_figure

    curves = measurement.measure({"translation": (shift_four_ways, sorted(set(args.shifts)))})["translation"]
    points = {name: [measurement.describe(asdict(point)) for point in line] for name, line in curves.items()}
    measurement.write(translation_figure(curves), [{"name": name, **p} for name, line in points.items() for p in line])
    found: list[Any] = [{"name": name, "runs": measurement.paths[name], "points": points[name]} for name in points]
    if not measurement.print_json(curves=found):
        robustness.print_curves(curves, ("shift", "pixels"))
        measurement.print_end()
    return 0
