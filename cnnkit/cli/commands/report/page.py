"""The HTML page about a run, section by section, from what was found of it."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cnnkit.cli.commands.report.findings import Found
from cnnkit.inspection.complexity import complexity
from cnnkit.metric_names import describe_best_score, format_metric
from cnnkit.reporting import figures as plots
from cnnkit.reporting import html
from cnnkit.reporting.grids import encode_png, kernel_grid
from cnnkit.reporting.html import Block, Section
from cnnkit.runs.metrics import quantities
from cnnkit.shell import quote_command

WORST = 24  # wrong images shown
KERNELS = 64  # kernels shown
LISTED = 200  # classes in the table


def write_page(found: Found) -> str:
    """The whole page as text."""
    folder = found.run.path.resolve()
    net, data = found.manifest.get("net", {}), found.manifest.get("data", {})
    about = f"{net.get('class', 'a net')} on {data.get('name', 'images')}"
    when = f", started {found.manifest['started']}" if "started" in found.manifest else ""
    status = found.manifest.get("status", "of unknown state")
    sections = [part for part in _sections(found) if part.body]
    version = found.manifest.get("versions", {}).get("cnnkit", "")
    return html.render_page(
        f"{folder.parent.name}/{folder.name}",
        f"{about}{when}, {status}.",
        _head(found),
        sections,
        f"Written by cnnkit report; the run was made by cnnkit {version}.",
    )


def headline(found: Found) -> dict[str, str]:
    """The run's main figures by name, as they are printed."""
    manifest, best, times = found.manifest, found.manifest.get("best", {}), found.manifest.get("times", {})
    values = {"test accuracy": f"{found.tested['test/acc']:.2%}" if "test/acc" in found.tested else "not tested"}
    if (monitor := found.monitor) in best:
        values[describe_best_score(monitor, manifest.get("monitor", {}).get("mode"))] = format_metric(
            monitor, best[monitor]
        )
        values["in epoch"] = f"{best.get('epoch', '?')} of {manifest.get('epochs', '?')}"
    if found.calibration is not None:
        values[f"calibration error ({found.part})"] = f"{found.calibration.error:.3f}"
    if "parameters" in manifest.get("net", {}):
        values["parameters"] = f"{manifest['net']['parameters']:,}"
    if "train_seconds" in times:
        values["training"] = f"{times['train_seconds']:,.0f} s"
    return values


def _head(found: Found) -> Iterator[Block]:
    yield html.figures(headline(found))
    if not found.tested:
        yield html.paragraph(
            f"Not tested: this page says nothing of the test images. "
            f"{quote_command('test', '--run', found.run)} scores "
            "them; make the page again after it.",
            note=True,
        )
    if found.part == "validation":
        lost = "What was predicted for the test images was not kept; test again to see it. " if found.tested else ""
        yield html.paragraph(
            f"{lost}Shown are the predictions for the validation images, computed anew in float32. By these images the "
            "best epoch was chosen, so they look a little better than test images would.",
            note=True,
        )
    for note in found.notes:
        yield html.paragraph(note, note=True)


def _sections(found: Found) -> Iterator[Section]:
    yield Section("curves", "Training", list(_curves(found)))
    of = {"test": "the test images", "validation": "the validation images"}.get(found.part, "")
    yield Section("classes", f"Classes, on {of}", list(_classes(found)))
    yield Section("calibration", f"Confidence, on {of}", list(_confidence(found)))
    yield Section("errors", f"Most confidently wrong, of {of}", list(_errors(found)))
    yield Section("kernels", "First layer", list(_kernels(found)))
    yield Section("net", "Layers", list(_layers(found)))
    config = found.run.config.read_text(encoding="utf-8", errors="replace")
    yield Section("configuration", "Configuration", [html.code(config)])
    yield Section("facts", "What was run, and where", [html.table(["entry", "value"], _flat(found.manifest))])


def _curves(found: Found) -> Iterator[Block]:
    names, own = quantities(found.rows), found.monitor.partition("/")[2]
    if not (keys := [key for key in dict.fromkeys(("loss", "acc", own)) if key in names]):
        return
    ends = [row for row in found.rows if any(name.startswith("val/") or name == "train/loss" for name in row)]
    alt = f"{', '.join(keys)} of training and validation over {len(ends)} epochs; the last figures are in the table."
    yield html.picture(plots.png_bytes(plots.curves_figure(found.rows, keys)), alt, width=690, kind="drawing")
    columns = [name for name in ends[-1] if name.startswith(("train/", "val/")) and not name.endswith("_step")]
    if len(ends) <= 100:
        cells = [[f"{row['epoch'] + 1:.0f}", *(f"{row.get(name, np.nan):.4f}" for name in columns)] for row in ends]
        yield html.table(["epoch", *columns], cells)


def _classes(found: Found) -> Iterator[Block]:
    if found.predictions is None:
        return
    matrix, names = found.matrix, found.names
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


def _confidence(found: Found) -> Iterator[Block]:
    if found.calibration is None:
        return
    error = found.calibration.error
    yield html.picture(
        plots.png_bytes(plots.reliability_figure(found.calibration)),
        f"Reliability diagram: accuracy for each range of confidence. Expected calibration error {error:.3f}.",
        "A net whose confidence can be believed has its bars end on the diagonal; bars below it mean overconfidence. "
        "The calibration error is the mean distance, weighted by the number of images.",
        width=460,
        kind="drawing",
    )


def _errors(found: Found) -> Iterator[Block]:
    if found.predictions is None:
        return
    wrong = np.flatnonzero(~found.predictions.correct)
    confidence = found.predictions.probabilities.max(1).astype(np.float64)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    total = len(found.predictions.labels)
    yield html.paragraph(
        f"{len(wrong):,} of {total:,} images were taken for another class, these {len(order)} with the most confidence."
    )
    places = found.predictions.index[order]
    pairs = [(found.names[found.predictions.predicted[k]], found.names[found.predictions.labels[k]]) for k in order]
    if found.images is None:
        rows = (
            zip(places, *zip(*pairs, strict=True), (f"{confidence[k]:.1%}" for k in order), strict=True)
            if pairs
            else []
        )
        yield html.table(["image", "predicted", "true", "confidence"], rows)
        return
    pixels = found.images(torch.from_numpy(places.astype(np.int64)))
    shown = []
    for image, k, (predicted, true), place in zip(pixels, order, pairs, places, strict=True):
        text = f"{predicted}, {confidence[k]:.1%}; in truth {true}"
        wide = max(96, min(image.shape[-1], 160))
        shown.append(html.picture(encode_png(image), f"Image {place}: {text}", text, width=wide, kind="pixels"))
    yield html.gallery(shown)


def _kernels(found: Found) -> Iterator[Block]:
    weight = None if found.net is None else first_kernels(found.net, found.input_size)
    if weight is None:
        return
    shown, kind = weight[:KERNELS], "Kernels" if weight.shape[-1] < 16 else "Weights"
    picture = kernel_grid(shown)
    some = f"the first {KERNELS} of {len(weight)}" if len(weight) > KERNELS else f"all {len(weight)}"
    text = f"{kind} of the first layer, {some}, {weight.shape[-2]}x{weight.shape[-1]} pixels"
    yield html.picture(
        encode_png(picture),
        text,
        f"{text}. Grey is 0, brighter is positive, darker negative.",
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


def _layers(found: Found) -> Iterator[Block]:
    if found.net is None or found.input_size is None:
        return
    costs = complexity(found.net, found.input_size)
    header = ["layer", "type", "output", "parameters", "MACs", "receptive field"]
    rows = [
        [
            row.name,
            row.type,
            "x".join(map(str, row.shape)),
            f"{row.parameters:,}",
            f"{row.macs:,}" if row.macs else "",
            "" if row.field is None else _field(row.field.size),
        ]
        for row in costs.rows
    ]
    total = f"{costs.parameters:,} parameters, {costs.macs:,} multiply-accumulates (MACs) for one image of "
    total += f"{'x'.join(map(str, costs.image))}."
    yield html.table(header, rows, total)


def _field(size: tuple[float, float]) -> str:
    return "all" if math.inf in size else "x".join(f"{n:g}" for n in size)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested plain values as pairs of a dotted name and a text."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, "; ".join(map(str, value)) if isinstance(value, list) else str(value)
