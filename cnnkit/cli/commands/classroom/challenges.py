"""``classroom challenges``: accuracy under lighting, scale, rotation, occlusion and clutter."""

import argparse
from dataclasses import asdict

from cnnkit.cli.commands.classroom import robustness
from cnnkit.cli.parsing.options import Options

DESCRIPTION = f"""\
Change the test images of runs as the world does, each change at five strengths, and print and draw the accuracy:
darker and brighter, smaller and larger, turned, with a gray square before them, with pieces of other images around
them. The changes are the same for every net.

{robustness.RUNS}"""
NAMES = ("lighting", "scale", "rotation", "occlusion", "clutter")  # of cnnkit.inspection.challenges, which needs torch


def arguments() -> Options:
    """The words of the command."""
    options = robustness.make_options("challenges", DESCRIPTION)
    options.add_argument(
        "--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=f"some of {', '.join(NAMES)}"
    )
    return options


def run(args: argparse.Namespace) -> int:
    """Measure every run under every change, print the tables, write the plot."""
    measurement = robustness.Measurement(args, "strength")
    from cnnkit.inspection.challenges import CHALLENGES, challenges_figure

    chosen = {name: CHALLENGES[name] for name in NAMES if name in args.only}
    images, count = measurement.images, len(measurement.labels)
    curves = measurement.measure(
        {name: (each.build_views(images, count), (0, *each.strengths)) for name, each in chosen.items()}
    )
    points = [
        {"challenge": challenge, "name": name, **measurement.describe(asdict(point))}
        for challenge, lines in curves.items()
        for name, line in lines.items()
        for point in line
    ]
    measurement.write(challenges_figure(curves), points)
    if not measurement.print_json(points=points, runs=measurement.paths):
        for challenge, lines in curves.items():
            print(f"{challenge}: {chosen[challenge].what}; 0 is the image as it is")
            robustness.print_curves(lines, "strength")
            print()
        measurement.print_end()
    return 0
