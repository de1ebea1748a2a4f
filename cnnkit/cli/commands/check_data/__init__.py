"""``check-data``: copies, broken files, doubtful labels."""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnkit import runs
from cnnkit.cli.outputs import check_output
from cnnkit.cli.parsing.options import Options, add_config, add_json, configuration_words, natural, positive, share
from cnnkit.errors import UserError
from cnnkit.files import writing_output
from cnnkit.reporting.terminal import print_rows

if TYPE_CHECKING:
    from cnnkit.cli.commands.check_data.findings import Finding
    from cnnkit.data import ImageDataModule

_DESCRIPTION = """\
Looks at every image of the data of a configuration, and writes one HTML page with pictures, readable offline, and a CSV
beside it with a row for each finding: equal images (by content), similar ones (by a perceptual hash, confirmed by the
pixels' details) within and across parts and classes, files that cannot be read, tiny ones, CMYK, 16-bit or animated
ones, classes with few images. With --run, also images of validation and test whose label the net finds improbable.

Nothing is changed. The exit code is 0; with --strict it is 1 if a test image is like one of another part."""
_COLUMNS = (
    *("kind", "part", "image", "label", "other_part", "other", "other_label"),
    *("distance", "similarity", "loss", "note"),
)
# Small gray images resemble each other: with the values for color, Fashion-MNIST has 94,000 pairs.
_DISTANCE, _SIMILARITY = {3: 12, 1: 4}, {3: 0.6, 1: 0.95}  # by channels
_LABELS = 50  # doubtful ones that are listed of a part
_STRICTER = 0.1  # more for mirrored images, of which fewer are copies


def arguments() -> Options:
    """The words of the command."""
    options = Options("check-data", _DESCRIPTION, passes_on=True)
    add_config(options)
    options.add_argument("--run", metavar="RUN", help="the data of a run instead, and doubtful labels")
    options.add_argument(
        "--distance", type=natural, metavar="BITS", help="of 64 bits of a hash may differ (default: 12, gray: 4)"
    )
    options.add_argument(
        "--similarity", type=share, metavar="R", help="least correlation of the details (default: 0.6, gray: 0.95)"
    )
    options.add_argument("--mirrored", action="store_true", help="also look for mirrored images")
    options.add_argument("--labels", type=positive, metavar="N", help="doubtful labels a part, of --run (default: 50)")
    options.add_argument(
        "-o", "--output", default="data-check.html", metavar="FILE", help="the page (default: data-check.html)"
    )
    options.add_argument("--strict", action="store_true", help="exit code 1 if a test image is like one elsewhere")
    add_json(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Look at the images, write page and table, and print the main figures."""
    output = check_output(args.output, (".html", ".htm"))
    listed = output.with_suffix(".csv")
    check_output(listed)
    data, trained = _open(args)
    from cnnkit.cli.commands.check_data.findings import count_classes
    from cnnkit.cli.commands.check_data.page import render, summarize
    from cnnkit.cli.commands.check_data.table import build_table

    table = build_table(data)
    distance = _DISTANCE[data.in_channels] if args.distance is None else args.distance
    similarity = _SIMILARITY[data.in_channels] if args.similarity is None else args.similarity
    findings = _find(args, data, table, distance, similarity, trained)
    counts = count_classes(table)
    notes = [
        f"Similar: at most {distance} of 64 bits of the hash differ, and the details correlate by {similarity:g} or "
        "more. Such a pair need not be a copy, and cropped or turned copies are not found: look at the pictures."
    ]
    if trained is not None and not trained.predictions.exists():
        notes.append(
            "The labels of the test images were not judged: the run was not tested, and this command does not do it."
        )
    title = f"{type(data).__name__}{f' {data.store.name}' if data.store else ''}"
    with writing_output(output, "w") as file:
        file.write(render(title, table, findings, counts, notes))
    _write_csv(listed, findings)
    if args.json:
        print(json.dumps({"page": str(output), "table": str(listed), **summarize(findings)}, indent=2))
    else:
        print_rows({**summarize(findings), "page": str(output), "table": str(listed)})
    return 1 if args.strict and any(finding.leaks for finding in findings) else 0


def _open(args: argparse.Namespace) -> "tuple[ImageDataModule, Any]":
    """The data module, not set up, and the run that names it, if one does."""
    from cnnkit.cli.parsing.build import build_data, build_from_config
    from cnnkit.data import ImageDataModule

    words = configuration_words(args)
    if args.run and words:
        raise UserError(f"{words[0]}: --run has data of its own; give one of them")
    if args.labels and not args.run:
        raise UserError("--labels: a net finds doubtful labels; name its run with --run, or leave this out")
    trained = runs.choose_finished(args.run) if args.run else None
    data = build_data(trained) if trained else build_from_config(words).data
    if not isinstance(data, ImageDataModule):
        raise UserError(f"{type(data).__name__} is no ImageDataModule: check-data cannot tell where its images are")
    return data, trained


def _find(
    args: argparse.Namespace, data: Any, table: Any, distance: int, similarity: float, trained: Any
) -> "list[Finding]":
    from cnnkit.cli.commands.check_data import findings as look
    from cnnkit.sizes import as_height_width

    found = look.find_exact(table) + look.find_similar(table, distance, similarity)
    if args.mirrored:
        found += look.find_similar(table, distance, min(1.0, similarity + _STRICTER), mirrored=True)
    found += look.find_files(table, as_height_width(data.image_size))
    found += look.find_classes(table.class_names, look.count_classes(table))
    if trained is not None:
        from cnnkit.cli.commands.check_data.labels import find_labels

        found += find_labels(trained, data, table, args.labels or _LABELS)
    return found


def _write_csv(path: Path, findings: "Sequence[Finding]") -> None:
    with writing_output(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for finding in findings:
            values = (getattr(finding, name) for name in _COLUMNS)
            writer.writerow("" if v is None else f"{v:.4g}" if isinstance(v, float) else v for v in values)
