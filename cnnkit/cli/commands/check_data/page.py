"""The HTML page about a data set: pictures of what was found."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from cnnkit.cli.commands.check_data.findings import Finding
from cnnkit.cli.commands.check_data.table import ImageTable
from cnnkit.reporting import html
from cnnkit.reporting.figures import BLUE, label_axes, new_figure, png_bytes
from cnnkit.reporting.grids import encode_png, enlarge
from cnnkit.reporting.html import Block, Section

SHOWN = 48  # pictures of a section
LISTED = 200  # rows of a table
LEAKS = "test images like one of another part"
_SIDE = 96  # pixels of a small image's picture
_TITLES = {
    "exact": ("exact", "Equal images"),
    "similar": ("similar", "Similar images"),
    "mirrored": ("mirrored", "Mirrored images"),
}


def render(
    title: str, table: ImageTable, findings: Sequence[Finding], counts: Mapping[str, list[int]], notes: Sequence[str]
) -> str:
    """Render the whole page as text.

    Args:
        title: what the data are.
        table: the images.
        findings: all of them.
        counts: of each part, by class.
        notes: what was compared, and how.
    """
    sections = [section for section in _list_sections(table, findings, counts) if section.body]
    parts = ", ".join(f"{sum(each):,} {part}" for part, each in counts.items())
    head = [html.figures(summarize(findings)), *(html.paragraph(note, note=True) for note in notes)]
    return html.render_page(
        title, f"{len(table.parts):,} images: {parts}.", head, sections, "Written by cnnkit check-data."
    )


def summarize(findings: Sequence[Finding]) -> dict[str, str]:
    """The main figures by name."""
    leaks = {f.other if f.other_part == "test" else f.image for f in findings if f.leaks}
    kinds = Counter(finding.kind for finding in findings)
    names = {
        "exact": "equal images",
        "similar": "similar pairs",
        "mirrored": "mirrored pairs",
        "unreadable": "unreadable files",
        "tiny": "tiny files",
        "special": "special files",
        "class": "class notes",
        "label": "doubtful labels",
    }
    values = {name: f"{kinds[kind]:,}" for kind, name in names.items() if kinds[kind] or kind in ("exact", "similar")}
    across = sum(finding.crosses_classes for finding in findings)
    return {
        **values,
        LEAKS: f"{len(leaks):,}",
        "pairs in two classes": f"{across:,}",
    }


def _list_sections(
    table: ImageTable, findings: Sequence[Finding], counts: Mapping[str, list[int]]
) -> Iterator[Section]:
    for kind, (anchor, title) in _TITLES.items():
        of_kind = [finding for finding in findings if finding.kind == kind]
        yield Section(anchor, title, list(_show_pairs(table, of_kind)))
    labels = [finding for finding in findings if finding.kind == "label"]
    yield Section("labels", "Doubtful labels", list(_show_labels(table, labels)))
    files = [finding for finding in findings if finding.kind in ("unreadable", "tiny", "special")]
    rows = [[f.kind, f.image, f.part, f.label, f.note] for f in files[:LISTED]]
    yield Section("files", "Files", [html.table(["kind", "file", "part", "class", "what"], rows)] if rows else [])
    yield Section("classes", "Classes", list(_show_classes(table, counts, findings)))
    yield Section("sizes", "Sizes", list(_show_sizes(table)))


def _show_pairs(table: ImageTable, pairs: Sequence[Finding]) -> Iterator[Block]:
    if not pairs:
        return
    parts, classes = (
        sum(values) for values in zip(*((p.crosses_parts, p.crosses_classes) for p in pairs), strict=True)
    )
    yield html.paragraph(
        f"{len(pairs):,} pairs, {parts:,} of them across parts, {classes:,} across classes. Shown are those with a "
        "test image and across classes first, each image once."
    )
    shown, seen = [], set()
    for pair in sorted(pairs, key=_rank):
        if pair.other not in seen and pair.image not in seen:
            seen |= {pair.other, pair.image}
            shown.append(pair)
    yield html.gallery(_picture_pair(table, pair) for pair in shown[:SHOWN])


def _rank(pair: Finding) -> tuple[bool, bool, bool, float]:
    """Order pairs: those with a test image and one of another part first, then others across parts and classes."""
    return not pair.leaks, not pair.crosses_parts, not pair.crosses_classes, -(pair.similarity or 0)


def _picture_pair(table: ImageTable, pair: Finding) -> Block:
    pictures = _load(table, pair.places)
    joined = torch.cat([pictures[0], torch.full_like(pictures[0][..., :4], 255), pictures[1]], -1)
    sign = "=" if pair.kind == "exact" else "~"
    names = f"{pair.image} ({pair.part}, {pair.label}) {sign} {pair.other} ({pair.other_part}, {pair.other_label})"
    text = names if pair.kind == "exact" else f"{names}; {pair.similarity:.2f}"
    return html.picture(encode_png(joined), text, text, width=joined.shape[-1], kind="pixels")


def _show_labels(table: ImageTable, labels: Sequence[Finding]) -> Iterator[Block]:
    if not labels:
        return
    yield html.paragraph(
        "Images of validation and test whose label the run's net finds least probable; a wrong label is one possible "
        "reason, a difficult image another. Training images are not judged: the net has learned their labels, wrong "
        "ones too. For these, losses of nets that did not train on them (cross-validation) are needed; a run has none.",
        note=True,
    )
    shown = []
    for finding in sorted(labels, key=lambda f: -(f.loss or 0))[:SHOWN]:
        text = f"{finding.image} ({finding.part}): {finding.label}; {finding.note}"
        if finding.places:
            picture = _load(table, finding.places)[0]
            shown.append(html.picture(encode_png(picture), text, text, width=picture.shape[-1], kind="pixels"))
    yield html.gallery(shown)


def _show_classes(table: ImageTable, counts: Mapping[str, list[int]], findings: Sequence[Finding]) -> Iterator[Block]:
    notes = {(f.label): f.note for f in findings if f.kind == "class"}
    rows = [
        [name, *(f"{each[k]:,}" for each in counts.values()), notes.get(name, "")]
        for k, name in enumerate(table.class_names[:LISTED])
    ]
    yield html.table(["class", *counts, "note"], rows)


def _show_sizes(table: ImageTable) -> Iterator[Block]:
    if not table.properties:
        return
    sides = [min(each.width, each.height) for each in table.properties]
    figure, axes = new_figure(4.6, 2.4)
    axes.hist(sides, bins=40, color=BLUE)
    label_axes(axes, "shorter side, pixels", "images")
    yield html.picture(png_bytes(figure), "Histogram of the shorter side of the images.", width=460, kind="drawing")
    common = Counter((each.width, each.height) for each in table.properties).most_common(10)
    rows = [[f"{width}x{height}", f"{count:,}"] for (width, height), count in common]
    yield html.table(["size", "images"], rows, "The most common sizes")


def _load(table: ImageTable, places: Sequence[int]) -> Tensor:
    return enlarge(table.load(torch.tensor(places)), _SIDE)
