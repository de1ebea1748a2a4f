"""The HTML page about a run, section by section, from its data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnkit.cli.commands.report.confidence import show_confidence
from cnnkit.cli.commands.report.report_data import ReportData
from cnnkit.inspection.complexity import complexity
from cnnkit.metric_names import describe_best_score, format_metric
from cnnkit.reporting import figures as plots
from cnnkit.reporting import html
from cnnkit.reporting.grids import encode_png, kernel_grid
from cnnkit.reporting.html import Block, Section
from cnnkit.reporting.tables import extent
from cnnkit.runs.metrics import quantities
from cnnkit.runs.records import flatten
from cnnkit.shell import quote_command

WORST = 24  # wrong images shown
KERNELS = 64  # kernels shown
LISTED = 200  # classes in the table


def render_report(report: ReportData) -> str:
    """The whole page as text."""
    folder = report.run.path.resolve()
    net, data = report.manifest.get("net", {}), report.manifest.get("data", {})
    about = f"{net.get('class', 'a net')} on {data.get('name', 'images')}"
    when = f", started {report.manifest['started']}" if "started" in report.manifest else ""
    status = report.manifest.get("status", "of unknown state")
    sections = [part for part in _sections(report) if part.body]
    version = report.manifest.get("versions", {}).get("cnnkit", "")
    return html.render_page(
        f"{folder.parent.name}/{folder.name}",
        f"{about}{when}, {status}.",
        _head(report),
        sections,
        f"Written by cnnkit report; the run was made by cnnkit {version}.",
    )


def format_headline(report: ReportData) -> dict[str, str]:
    """The run's main figures by name, as they are printed."""
    manifest, best, times = report.manifest, report.manifest.get("best", {}), report.manifest.get("times", {})
    tested = report.tested
    values = {"test accuracy": f"{tested['test/acc']:.2%}" if "test/acc" in tested else "not tested"}
    if "test/acc_tta" in tested:
        values[f"averaged over {manifest.get('test_of', {}).get('tta') or 'views'}"] = f"{tested['test/acc_tta']:.2%}"
    if "test/map" in tested:  # several labels an image
        shown = {"test mean average precision": "test/map", "test F1 (macro)": "test/f1"}
        values = {title: f"{tested[name]:.4f}" for title, name in shown.items() if name in tested}
        if report.map_interval is not None:
            values["its 95 % interval"] = "{:.4f} to {:.4f}".format(*report.map_interval)
    if (monitor := report.monitor) in best:
        title = describe_best_score(monitor, manifest.get("monitor", {}).get("mode"))
        values[title] = format_metric(monitor, best[monitor])
        values["in epoch"] = f"{best.get('epoch', '?')} of {manifest.get('epochs', '?')}"
    if report.calibration is not None:
        values[f"calibration error ({report.part})"] = f"{report.calibration.error:.3f}"
    if "parameters" in manifest.get("net", {}):
        values["parameters"] = f"{manifest['net']['parameters']:,}"
    if "train_seconds" in times:
        values["training"] = f"{times['train_seconds']:,.0f} s"
    return values


def _head(report: ReportData) -> Iterator[Block]:
    yield html.figures(format_headline(report))
    if not report.tested:
        yield html.paragraph(
            f"Not tested: this page says nothing of the test images. {quote_command('test', '--run', report.run)} "
            "scores them; make the page again after it.",
            note=True,
        )
    if report.part == "validation":
        lost = "What was predicted for the test images was not kept; test again to see it. " if report.tested else ""
        yield html.paragraph(
            f"{lost}Shown are the predictions for the validation images, computed in float32. By these images the "
            "best epoch was chosen, so they look a little better than test images would.",
            note=True,
        )
    for note in report.notes:
        yield html.paragraph(note, note=True)


def _sections(report: ReportData) -> Iterator[Section]:
    yield Section("curves", "Training", list(_curves(report)))
    of = {"test": "the test images", "validation": "the validation images"}.get(report.part, "")
    yield Section("classes", f"Classes, on {of}", list(_classes(report)))
    yield Section("calibration", f"Confidence, on {of}", list(show_confidence(report)))
    yield Section("errors", f"Most confidently wrong, of {of}", list(_errors(report)))
    yield Section("kernels", "First layer", list(_kernels(report)))
    yield Section("net", "Layers", list(_layers(report)))
    config = report.run.config.read_text(encoding="utf-8", errors="replace")
    yield Section("configuration", "Configuration", [html.code(config)])
    yield Section("facts", "What was run, and where", [html.table(["entry", "value"], _facts(report.manifest))])


def _curves(report: ReportData) -> Iterator[Block]:
    names, own = quantities(report.rows), report.monitor.partition("/")[2]
    if not (keys := [key for key in dict.fromkeys(("loss", "acc", own)) if key in names]):
        return
    ends = [row for row in report.rows if any(name.startswith("val/") or name == "train/loss" for name in row)]
    alt = f"{', '.join(keys)} of training and validation over {len(ends)} epochs; the last figures are in the table."
    yield html.picture(plots.png_bytes(plots.curves_figure(report.rows, keys)), alt, width=690, kind="drawing")
    columns = [name for name in ends[-1] if name.startswith(("train/", "val/")) and not name.endswith("_step")]
    if len(ends) <= 100:
        cells = [[f"{row['epoch'] + 1:.0f}", *(f"{row.get(name, np.nan):.4f}" for name in columns)] for row in ends]
        yield html.table(["epoch", *columns], cells)


def _classes(report: ReportData) -> Iterator[Block]:
    if report.label_scores is not None:
        header = ["class", "images", "average precision", "F1", "precision", "recall"]
        rows = [[name, *each.as_cells()] for name, each in zip(report.names, report.label_scores, strict=True)]
        yield html.table(header, rows[:LISTED], "F1, precision and recall at the thresholds of the validation images.")
        return
    if report.predictions is None:
        return
    matrix, names = report.matrix, report.names
    side = 520 if len(names) <= 14 else 900
    alt = "Counts of each true class (row) and predicted class (column); the table below has the main figures."
    confusion = plots.png_bytes(plots.confusion_figure(matrix, names))
    by_class = plots.png_bytes(plots.class_accuracy_figure(matrix, names))
    yield html.row(
        [
            html.picture(
                confusion, f"Confusion matrix. {alt}", "Rows: true, columns: predicted.", width=side, kind="drawing"
            ),
            html.picture(by_class, "Accuracy of each class, lowest first.", width=400, kind="drawing"),
        ]
    )
    header = ["class", "images", "right", "accuracy", "most often taken for", "times"]
    caption = f"The first {LISTED} of {len(names)} classes" if len(names) > LISTED else ""
    yield html.table(header, [_class_row(matrix, names, k) for k in range(min(len(names), LISTED))], caption)


def _class_row(matrix: np.ndarray, names: Sequence[str], k: int) -> list[str]:
    total, right = int(matrix[k].sum()), int(matrix[k, k])
    wrong = matrix[k].copy()
    wrong[k] = 0
    other = int(wrong.argmax())
    taken = [names[other], f"{wrong[other]:,}"] if wrong[other] else ["", ""]
    return [names[k], f"{total:,}", f"{right:,}", f"{right / total:.2%}" if total else "", *taken]


def _errors(report: ReportData) -> Iterator[Block]:
    if report.predictions is None or report.predictions.multilabel:
        return
    wrong = np.flatnonzero(~report.predictions.correct)
    confidence = report.predictions.probabilities.max(1).astype(np.float64)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    total = len(report.predictions.labels)
    yield html.paragraph(
        f"{len(wrong):,} of {total:,} images were taken for another class, these {len(order)} with the most confidence."
    )
    places = report.predictions.index[order]
    pairs = [(report.names[report.predictions.predicted[k]], report.names[report.predictions.labels[k]]) for k in order]
    if report.images is None:
        rows = (
            zip(places, *zip(*pairs, strict=True), (f"{confidence[k]:.1%}" for k in order), strict=True)
            if pairs
            else []
        )
        yield html.table(["image", "predicted", "true", "confidence"], rows)
        return
    pixels = report.images(torch.from_numpy(places.astype(np.int64)))
    shown = []
    for image, k, (predicted, true), place in zip(pixels, order, pairs, places, strict=True):
        text = f"{predicted}, {confidence[k]:.1%}; in truth {true}"
        wide = max(96, min(image.shape[-1], 160))
        shown.append(html.picture(encode_png(image), f"Image {place}: {text}", text, width=wide, kind="pixels"))
    yield html.gallery(shown)


def _kernels(report: ReportData) -> Iterator[Block]:
    weight = None if report.net is None else first_kernels(report.net, report.input_size)
    if weight is None:
        return
    shown, kind = weight[:KERNELS], "Kernels" if weight.shape[-1] < 16 else "Weights"
    picture = kernel_grid(shown)
    some = f"the first {KERNELS} of {len(weight)}" if len(weight) > KERNELS else f"all {len(weight)}"
    text = f"{kind} of the first layer, {some}, {weight.shape[-2]}x{weight.shape[-1]} pixels"
    yield html.picture(
        encode_png(picture),
        text,
        f"{text}. Gray is 0, brighter is positive, darker negative.",
        width=min(2 * picture.shape[-1], 900),
        kind="pixels",
    )


def first_kernels(net: nn.Module, input_size: tuple[int, int, int] | None) -> Tensor | None:
    """The weights (O, C, h, w) of the first convolution, or of a first dense layer that reads all pixels; else None.

    Args:
        net: any net.
        input_size: (C, H, W) of its images, if it is known.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            return module.weight.detach()
        if isinstance(module, nn.Linear):
            fits = input_size is not None and module.in_features == math.prod(input_size)
            return module.weight.detach().view(-1, *input_size) if fits and input_size else None
    return None


def _layers(report: ReportData) -> Iterator[Block]:
    if report.net is None or report.input_size is None:
        return
    costs = complexity(report.net, report.input_size)
    header = ["layer", "type", "output", "parameters", "MACs", "receptive field"]
    rows = [
        [
            row.name,
            row.type,
            "x".join(map(str, row.shape)),
            f"{row.parameters:,}",
            f"{row.macs:,}" if row.macs else "",
            "" if row.field is None else extent(row.field.size),
        ]
        for row in costs.rows
    ]
    total = f"{costs.parameters:,} parameters, {costs.macs:,} multiply-accumulates (MACs) for one image of "
    total += f"{'x'.join(map(str, costs.image))}."
    yield html.table(header, rows, total)


def _facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = {name: value for name, value in flatten(manifest).items() if value != {}}
    return [(name, "; ".join(map(str, v)) if isinstance(v, list) else str(v)) for name, v in facts.items()]
