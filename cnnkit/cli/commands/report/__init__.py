"""``report``: one HTML page about a run, readable offline."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnkit import files, runs
from cnnkit.cli.outputs import check_output
from cnnkit.cli.parsing.options import Options, add_json
from cnnkit.reporting.terminal import print_rows

if TYPE_CHECKING:
    from cnnkit.cli.commands.report.report_data import ReportData

DESCRIPTION = """\
Write one HTML page about a run: figures, curves, confusion matrix, accuracy of the classes, reliability, the images
that are most confidently wrong, first-layer kernels, layers, configuration, versions. It is one file, asks for nothing
from the network, and needs neither the run folder nor the data any more.

What it says of the test images is what `test` has kept. The test set is never scored here: for a run that was not
tested, the page shows the validation images and says so."""


def arguments() -> Options:
    """The words of the command."""
    options = Options("report", DESCRIPTION)
    options.add_argument("--run", required=True, metavar="RUN", help="a run folder, or a name: its newest finished run")
    options.add_argument("-o", "--output", metavar="FILE", help="the page; report.html in the run folder if not given")
    options.add_argument("--open", choices=("yes", "no"), default="no", help="show it in the browser (default: no)")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Write the page, print its main figures and where it is."""
    run = runs.choose_finished(args.run)
    output = check_output(args.output or run.path / "report.html", (".html", ".htm"))
    from cnnkit.cli.commands.report.page import format_headline, render_report
    from cnnkit.cli.commands.report.report_data import collect_report_data

    report = collect_report_data(run)
    with files.writing_output(output, "w") as file:
        file.write(render_report(report))
    for note in report.notes:
        print(note, file=sys.stderr)
    _print(report, format_headline(report), output, as_json=args.json)
    if args.open == "yes":
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            print(f"no browser found; open {output} in one", file=sys.stderr)
    return 0


def _print(report: "ReportData", figures: dict[str, str], output: Path, *, as_json: bool) -> None:
    if as_json:
        import json

        from cnnkit.stats.calibration import bin_predictions

        values = {"report": str(output), "test": report.tested or None, "best": report.manifest.get("best")}
        values["predictions_of"] = report.part or None
        if report.predictions is not None and report.calibration is not None:
            values |= {"accuracy": report.predictions.accuracy, "calibration_error": float(report.calibration.error)}
            if report.predictions.uncalibrated is not None:
                before = bin_predictions(report.predictions.uncalibrated, report.predictions.correct)
                values["calibration_error_before"] = before.error
        print(json.dumps(values, indent=2))
        return
    print_rows({**figures, "report": str(output)})
