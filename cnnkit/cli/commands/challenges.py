"""``challenges``: accuracy under lighting, scale, rotation, occlusion and clutter."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from cnnkit.cli.commands import changed_images
from cnnkit.cli.parsing.options import Options

DESCRIPTION = f"""\
Change the test images of runs as the world does, each change at five strengths, and print and draw the accuracy:
darker and brighter, smaller and larger, turned, with a gray square before them, with pieces of other images around
them. The changes are the same for every net. {changed_images.RUNS}"""
NAMES = ("lighting", "scale", "rotation", "occlusion", "clutter")  # of cnnkit.inspection.challenges, which needs torch


def arguments() -> Options:
    """The words of the command."""
    options = Options("challenges", DESCRIPTION)
    changed_images.add_options(options, "challenges")
    options.add_argument(
        "--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=f"some of {', '.join(NAMES)}"
    )
    return options


def run(asked: argparse.Namespace) -> int:
    """Measure every run under every change, print the tables, write the plot."""
    output = changed_images.check_output(asked.output)
    notes: list[str] = []
    folders = changed_images.find_runs(asked.run, notes)
    from cnnkit.inspection.challenges import CHALLENGES, challenges_figure
    from cnnkit.reporting.figures import png_bytes

    runs = changed_images.TrainedRuns(folders, asked.images)
    chosen = {name: CHALLENGES[name] for name in NAMES if name in asked.only}
    changes = {
        name: (challenge.build_views(runs.images, len(runs.labels)), (0, *challenge.strengths))
        for name, challenge in chosen.items()
    }
    curves = runs.measure(changes)
    changed_images.write_file(output, png_bytes(challenges_figure(curves)))
    rows = [
        ({"challenge": challenge, "name": name}, point)
        for challenge, lines in curves.items()
        for name, points in lines.items()
        for point in points
    ]
    if asked.csv:
        changed_images.write_file(Path(asked.csv), changed_images.points_as_csv(rows, "strength"))
    if asked.json:
        listed = [{**names, **changed_images.rename(asdict(point), "strength")} for names, point in rows]
        named = {name: [str(run) for run in runs] for name, runs in folders.items()}
        print(json.dumps({"points": listed, "runs": named, "notes": notes, "picture": str(output)}, indent=2))
        return 0
    for challenge, lines in curves.items():
        print(f"{challenge}: {chosen[challenge].what}; 0 is the image as it is")
        changed_images.print_curves(lines, "strength")
        print()
    changed_images.print_end(output, notes)
    return 0
