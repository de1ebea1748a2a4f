"""The model card of a pack: README.md, as people and hubs read it. Nothing that was not measured is written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cnnkit
from cnnkit.data.originals.sources import Source
from cnnkit.export.pack import facts
from cnnkit.export.pack.metadata import write_metadata
from cnnkit.export.pack.results import LISTED, Results
from cnnkit.inference.preprocessing import Preprocessing
from cnnkit.notices import printable
from cnnkit.reporting.tables import markdown_table
from cnnkit.runs.records import RunRecord
from cnnkit.stats.temperature import format_error

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
_SPECIAL = re.compile(r"([\\`*\[\]<>#&~]|(?<!\w)_|_(?!\w))")
_RESIZE = {
    "crop": "scaled until they cover the size, and cut around the center",
    "squash": "scaled without keeping the aspect ratio",
    "pad": "scaled until they fit, with black borders,",
}


@dataclass(frozen=True)
class Card:
    """What a card is written from.

    Args:
        record: the run.
        data: the preparation of its images.
        results: what was measured on the test images.
        parameters: of the net as it predicts.
        macs: multiply-accumulates for one image.
        tta: views that the model averages over.
        correction: rows about temperature and adjustment.
        multilabel: whether an image can have several of the classes.
        class_counts: training images of each class, if they are known.
        left_out: keys of the configuration that the pack does not contain.
        license: of the model, as the user says it.
        has_license_file: whether the pack has its text as LICENSE.
        proofs: a sentence for each model file.
        files: name and content of the files of the pack.
    """

    record: RunRecord
    data: Preprocessing
    results: Results
    parameters: int
    macs: int
    tta: str = "none"
    correction: Mapping[str, str] = field(default_factory=dict)
    multilabel: bool = False
    class_counts: Sequence[int] | None = None
    left_out: Sequence[str] = ()
    license: str | None = None
    has_license_file: bool = False
    proofs: Sequence[str] = ()
    files: Sequence[tuple[str, str]] = ()


def as_markdown(text: object) -> str:
    r"""Return one line of text that Markdown shows as it is; a ``|`` is left to the table.

    >>> as_markdown("T-shirt*<b>")
    'T-shirt\\*\\<b\\>'
    """
    return _SPECIAL.sub(r"\\\1", printable(text))


def render_card(card: Card) -> str:
    """Return the card as text: the block for hubs, then Markdown."""
    from jinja2 import Environment, StrictUndefined

    source = facts.find_data_source(card.record)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.globals["table"] = _table
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(_collect(card, source))
    return _write_head(card, source) + "\n" + re.sub(r"\n{3,}", "\n\n", text)


def _write_head(card: Card, source: Source | None) -> str:
    scores = [(score.kind, score.title, round(score.value, 6)) for score in card.results.scores]
    return write_metadata(
        card.record.facts["name"],
        _name_data(card, source),
        scores,
        card.license,
        has_license_file=card.has_license_file,
        tags=["image-classification", "cnnkit", str((card.record.manifest.get("net") or {}).get("class", "cnn"))],
    )


def _name_data(card: Card, source: Source | None) -> str:
    return source.title if source else str(card.record.facts["data"] or "own images")


def _collect(card: Card, source: Source | None) -> dict[str, Any]:
    height, width = card.data.size
    results = card.results
    return {
        "title": as_markdown(card.record.facts["name"]),
        "about": _describe(card, source),
        "channels": card.data.in_channels,
        "height": height,
        "width": width,
        "resize": _RESIZE[str(card.data.resize)],
        "probabilities": "one probability for each class, independent of the others"
        if card.multilabel
        else "one probability for each class, which add up to 1",
        "model": _describe_model(card),
        "proofs": card.proofs,
        "results": results,
        "interval_kind": "a bootstrap of the images" if card.multilabel else "Wilson's",
        "scores": [(s.title, f"{s.value:.4f}", _interval(s.interval)) for s in results.scores],
        "seeds": _describe_seeds(results),
        **_collect_classes(results),
        "errors": [(name, format_error(found)) for name, found in results.errors.items()],
        "validation_errors": _find_validation_errors(card),
        "choice": as_markdown(" ".join(facts.describe_choice(card.record))),
        "training": facts.describe_training(card.record, source),
        "configuration": _describe_configuration(card.left_out),
        "limits": _list_limits(card),
        "licenses": _list_licenses(card, source),
        "files": list(card.files),
        "version": cnnkit.__version__,
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return markdown_table(head, [[as_markdown(cell) for cell in row] for row in rows])


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _describe(card: Card, source: Source | None) -> str:
    """The sentence below the title."""
    count = len(card.data.class_names)
    does = f"says which of {count} classes an image has" if card.multilabel else f"sorts images into {count} classes"
    on = as_markdown(_name_data(card, source))
    return f"{as_markdown(facts.describe_net(card.record))} that {does}, trained on {on} with cnnkit."


def _describe_model(card: Card) -> facts.Rows:
    height, width = card.data.size
    run = card.record.path.resolve()
    rows = [
        ("net", facts.describe_net(card.record)),
        ("parameters", f"{card.parameters:,}"),
        ("multiply-accumulates (MACs) for one image", f"{card.macs:,}"),
        ("size of the images", f"{card.data.in_channels}x{height}x{width}"),
        ("classes", f"{len(card.data.class_names):,}, see class_names.txt"),
        ("run", f"{run.parent.name}/{run.name}"),
    ]
    views = [] if card.tta == "none" else [("averaged over views", card.tta)]
    return [*rows, *views, *card.correction.items()]


def _describe_seeds(results: Results) -> str:
    if results.seeds is None:
        return ""
    found = results.seeds
    return (
        f"Of {found.n} runs that differ by their seed alone, this one among them, the {results.scores[0].title} is "
        f"{found.mean:.4f} on average (95 % interval of the mean {found.low:.4f} to {found.high:.4f}, Student's t)."
    )


def _collect_classes(results: Results) -> dict[str, Any]:
    """The tables of the classes, the worst first, at most `LISTED` of them."""

    def title(what: str, count: int) -> str:
        return f"{what}, lowest first" + (f"; the first {LISTED} of {count:,} classes:" if count > LISTED else ":")

    recalls = [
        (each.name, f"{each.images:,}", f"{each.right / each.images:.4f}", _interval(each.interval))
        for each in results.recalls[:LISTED]
    ]
    labels = [(name, *each.as_cells()) for name, each in results.labels[:LISTED]]
    return {
        "recalls": recalls,
        "recall_title": title("Recall of each class", len(results.recalls)),
        "labels": labels,
        "label_title": title("Average precision of each class", len(results.labels)),
    }


def _find_validation_errors(card: Card) -> facts.Rows:
    """What `calibrate` measured for the best checkpoint and the views of the packed model."""
    if "temperature" not in card.correction:
        return []
    for entry in card.record.manifest.get("calibration") or []:
        if entry.get("checkpoint") == "best.ckpt" and entry.get("tta") == card.tta:
            names = {"before": "without the temperature", "after": "with it"}
            return [(title, format_error(entry[key])) for key, title in names.items()]
    return []


def _describe_configuration(left_out: Sequence[str]) -> str:
    text = "`config.yaml` has all values of the run."
    if not left_out:
        return text
    keys = ", ".join(as_markdown(key) for key in left_out)
    return f"{text} Left out of it, as they name a machine or may hold a secret: {keys}."


def _list_limits(card: Card) -> list[str]:
    names = [as_markdown(name) for name in card.data.class_names]
    counts = facts.count_training_images(card.record, card.data.class_names, card.class_counts)
    height, width = card.data.size
    lines = [
        "The model knows only its classes: it gives any image the probabilities of these, also one of none of them.",
        facts.describe_class_sizes(counts, names),
        f"Every image becomes {height}x{width} pixels: {_RESIZE[str(card.data.resize)].rstrip(',')}. Details smaller "
        "than a pixel of that size are lost"
        + (", and what lies outside of the center cut." if card.data.resize == "crop" else "."),
        "It was not measured how it does on images from another source than its test images (other cameras, light, "
        "noise, positions), nor for groups within a class, nor against images made to deceive it.",
    ]
    if card.data.in_channels == 1:
        lines.append("Color images are used without their color.")
    return lines


def _list_licenses(card: Card, source: Source | None) -> list[str]:
    text = " Its text is in LICENSE." if card.has_license_file else ""
    model = f"{as_markdown(card.license)}.{text}" if card.license else f"not stated.{text}"
    data = "unknown to cnnkit; ask those whose images they are."
    if source is not None:
        data = f"{as_markdown(source.license)} ({source.homepage})."
    before = "Weights that the training started from: they have a license of their own, which is not recorded."
    return [
        f"Model (weights): {model}",
        f"Data that it was trained on: {data}",
        *([before] if facts.started_trained(card.record) else []),
        "`predict.py`: MIT, copyright 2026 the cnnkit authors.",
    ]
