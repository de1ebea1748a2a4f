"""``translation``: accuracy when the test images are shifted."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from cnnkit.cli.commands import changed_images
from cnnkit.cli.parsing.options import Options, natural

DESCRIPTION = f"""\
Move the test images of runs up, down, left and right, fill with black, and print and draw the accuracy against the
shift, the mean of the four directions. {changed_images.RUNS}"""


def arguments() -> Options:
    """The words of the command."""
    options = Options("translation", DESCRIPTION)
    changed_images.add_options(options, "translation")
    options.add_argument(
        "--shifts", nargs="+", type=natural, default=list(range(7)), metavar="N", help="pixels (default: 0 to 6)"
    )
    return options


def run(asked: argparse.Namespace) -> int:
    """Measure every run, print the table, write the plot."""
    output = changed_images.check_output(asked.output)
    notes: list[str] = []
    folders = changed_images.find_runs(asked.run, notes)
    from cnnkit.inspection.translation import shifted_views, translation_figure
    from cnnkit.reporting.figures import png_bytes

    runs = changed_images.TrainedRuns(folders, asked.images)
    curves = runs.measure({"translation": (shifted_views, sorted(set(asked.shifts)))})["translation"]
    changed_images.write_file(output, png_bytes(translation_figure(curves)))
    rows = [({"name": name}, point) for name, points in curves.items() for point in points]
    if asked.csv:
        changed_images.write_file(Path(asked.csv), changed_images.points_as_csv(rows, "shift"))
    if asked.json:
        listed = [
            {
                "name": name,
                "runs": [str(run) for run in folders[name]],
                "points": [changed_images.rename(asdict(point), "shift") for point in points],
            }
            for name, points in curves.items()
        ]
        print(json.dumps({"curves": listed, "notes": notes, "picture": str(output)}, indent=2))
    else:
        changed_images.print_curves(curves, "shift\npixels")
        changed_images.print_end(output, notes)
    return 0
