"""One self-contained HTML page from blocks of text, tables and pictures; how they look stands in report.html.j2.

Jinja escapes whatever comes in as text.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cnnkit.reporting.tables import is_number_column

TEMPLATE = Path(__file__).with_name("report.html.j2")

Block = dict[str, Any]
"""A piece of the page: ``macro`` names the macro of the template that shows it, the rest is what that reads."""


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own; ``anchor`` is a plain word, for links to it."""

    anchor: str
    title: str
    body: Sequence[Block]


def render_page(title: str, subtitle: str, head: Iterable[Block], sections: Sequence[Section], footer: str) -> str:
    """The page as text.

    Args:
        head: what comes before the first section.
        sections: with links to them on top.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, subtitle=subtitle, head=list(head), sections=sections, footer=footer)


def paragraph(text: str, *, note: bool = False) -> Block:
    """A paragraph; a note says what is missing or to be kept in mind."""
    return {"macro": "paragraph", "text": text, "note": note}


def figures(values: Mapping[str, str]) -> Block:
    """Names with their numbers, in large print."""
    return {"macro": "figures", "pairs": dict(values)}


def picture(
    png: bytes, alt: str, caption: str = "", *, width: int = 0, kind: Literal["drawing", "pixels", ""] = ""
) -> Block:
    """A picture within the page.

    Args:
        png: the file's bytes.
        alt: a description for people who cannot see it.
        caption: below it.
        width: in pixels of the page; 0: the file's own.
        kind: ``drawing`` for dark lines on white, inverted on a dark page; ``pixels`` for a small one whose pixels
            are enlarged without smoothing.
    """
    data = base64.b64encode(png).decode("ascii")
    return {"macro": "picture", "data": data, "alt": alt, "caption": caption, "width": width, "kind": kind}


def row(parts: Iterable[Block]) -> Block:
    """Blocks side by side, as far as there is room."""
    return {"macro": "row", "parts": list(parts)}


def gallery(pictures: Iterable[Block]) -> Block:
    """A list of small pictures."""
    return {"macro": "gallery", "parts": list(pictures)}


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Block:
    """A table whose first column names the rows; columns of numbers are aligned to the right.

    Args:
        header: names of the columns.
        rows: a cell for each column.
        caption: above it.
    """
    texts = [[str(cell) for cell in cells] for cells in rows]
    right = [is_number_column([cells[k] for cells in texts]) for k in range(len(header))]
    return {"macro": "table", "header": list(header), "rows": texts, "right": right, "caption": caption}


def code(text: str) -> Block:
    """Text as it is, in a fixed-width face."""
    return {"macro": "code", "text": text}
