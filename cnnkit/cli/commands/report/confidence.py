"""The part of a report about confidence: reliability, calibration error, and what a temperature has changed."""

from collections.abc import Iterator

from cnnkit.cli.commands.report.report_data import ReportData
from cnnkit.reporting import figures as plots
from cnnkit.reporting import html
from cnnkit.reporting.html import Block
from cnnkit.stats.temperature import describe_error, format_error


def show_confidence(report: ReportData) -> Iterator[Block]:
    """Yield the reliability diagram; with a temperature, the calibration error without and with it."""
    if report.calibration is None or report.predictions is None:
        return
    error = report.calibration.error
    yield html.picture(
        plots.png_bytes(plots.reliability_figure(report.calibration)),
        f"Reliability diagram: accuracy for each range of confidence. Expected calibration error {error:.3f}.",
        "A net whose confidence can be believed has its bars end on the diagonal; bars below it mean overconfidence. "
        "The calibration error is the mean distance, weighted by the number of images.",
        width=460,
        kind="drawing",
    )
    before = report.predictions.uncalibrated
    if before is None:
        return
    correct = report.predictions.correct
    found = [describe_error(each, correct) for each in (before, report.predictions.probabilities.max(1))]
    where = {"test": "the test images, which it has not seen", "validation": "the validation images themselves"}
    yield html.table(
        ["calibration error", "ECE (95 % interval)", "images"],
        [
            [name, format_error(each), f"{len(correct):,}"]
            for name, each in zip(("without the temperature", "with it"), found, strict=True)
        ],
        f"The temperature was fitted on the validation images; this is its effect on {where[report.part]}. Classes are "
        "the same. The interval is a bootstrap of the images.",
    )
