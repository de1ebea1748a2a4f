"""One self-contained HTML page: sections in, text out. It asks for nothing from outside and runs no script.

Whatever comes in as text is escaped. What is HTML already has the type `Markup` and comes from the functions here.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NewType

Markup = NewType("Markup", str)

# The policy makes the browser refuse whatever an oversight might ask for.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --page: #fff; --card: #f6f8fa;
  --accent: #0072b2; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --page: #0d1117; --card: #151b23; --accent: #58a6e0; }
  .drawing { filter: invert(0.93) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
p, figcaption, summary { max-width: 46rem; }
header p, figcaption, footer, .note { color: var(--soft); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; font-size: .9rem; }
a { color: var(--accent); }
dl.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
dl.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem; }
dl.figures dt { color: var(--soft); font-size: .8rem; }
dl.figures dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1rem; }
figcaption { font-size: .85rem; }
img { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.gallery { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
.gallery img, .pixels { image-rendering: pixelated; display: block; }
.gallery figcaption { line-height: 1.3; max-width: 10rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody th { font-weight: normal; }
.number { text-align: right; white-space: nowrap; }
td { overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .8rem; overflow: auto;
  font-size: .8rem; max-height: 30rem; }
.note { border-left: 3px solid var(--line); padding-left: .8rem; }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 11pt; }
  nav { display: none; } h2 { break-after: avoid; } figure, tr, .figures div { break-inside: avoid; }
  pre { white-space: pre-wrap; max-height: none; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading of its own; ``anchor`` is a plain word, for links to it."""

    anchor: str
    title: str
    body: Sequence[Markup]


def page(title: str, subtitle: str, head: Iterable[Markup], sections: Sequence[Section], footer: str) -> str:
    """The page.

    Args:
        title: of the page and its first heading.
        subtitle: a sentence below it.
        head: what comes before the first section.
        sections: with links to them on top.
        footer: a sentence at the end.
    """
    links = "".join(f'<li><a href="#{part.anchor}">{escape(part.title)}</a></li>' for part in sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(subtitle)}</p>
{"".join(head)}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main>
{"".join(map(_section, sections))}</main>
<footer><p>{escape(footer)}</p></footer>
</body>
</html>
"""


def _section(section: Section) -> str:
    body = "\n".join(section.body)
    return (
        f'<section id="{section.anchor}" aria-labelledby="{section.anchor}-title">\n'
        f'<h2 id="{section.anchor}-title">{escape(section.title)}</h2>\n{body}\n</section>\n'
    )


def paragraph(text: str, *, note: bool = False) -> Markup:
    """A paragraph; a note says what is missing or to be kept in mind."""
    return Markup(f'<p class="note">{escape(text)}</p>' if note else f"<p>{escape(text)}</p>")


def figures(values: Mapping[str, str]) -> Markup:
    """Names with their numbers, in large print."""
    items = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values.items())
    return Markup(f'<dl class="figures">{"".join(items)}</dl>')


def picture(png: bytes, alt: str, caption: str = "", *, width: int = 0, kind: str = "") -> Markup:
    """A picture within the page.

    Args:
        png: the file's bytes.
        alt: what is to be seen, for who cannot see it.
        caption: below it.
        width: in pixels of the page; none given: the file's own.
        kind: ``drawing`` for dark lines on white, turned round on a dark page; ``pixels`` for a small one whose pixels
            are to be seen.
    """
    size = f' width="{width}"' if width else ""
    kind = f' class="{kind}"' if kind else ""
    data = base64.b64encode(png).decode("ascii")
    image = f'<img{kind}{size} alt="{escape(alt)}" src="data:image/png;base64,{data}">'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Markup(f"<figure>{image}{below}</figure>")


def row(parts: Iterable[Markup]) -> Markup:
    """Parts side by side, as far as there is room."""
    return Markup(f'<div class="row">{"".join(parts)}</div>')


def gallery(pictures: Iterable[Markup]) -> Markup:
    """A list of small pictures."""
    items = "".join(f"<li>{each}</li>" for each in pictures)
    return Markup(f'<ul class="gallery">{items}</ul>')


def table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Markup:
    """A table whose first column names the rows; what can be read as a number stands to the right.

    Args:
        header: names of the columns.
        rows: a cell a column.
        caption: above it.
    """
    texts = [[str(cell) for cell in cells] for cells in rows]
    numeric = [bool(texts) and all(_is_number(cells[k]) for cells in texts) for k in range(len(header))]
    sides = [' class="number"' if right else "" for right in numeric]
    head = "".join(f'<th scope="col"{side}>{escape(name)}</th>' for name, side in zip(header, sides, strict=True))
    body = "".join(f"<tr>{_cells(cells, sides)}</tr>\n" for cells in texts)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Markup(
        f'<div class="scroll"><table>{above}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
    )


def _cells(cells: Sequence[str], sides: Sequence[str]) -> str:
    first = f'<th scope="row"{sides[0]}>{escape(cells[0])}</th>'
    return first + "".join(f"<td{s}>{escape(cell)}</td>" for cell, s in zip(cells[1:], sides[1:], strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").removesuffix("%") or "0")
    except ValueError:
        return False
    return True


def code(text: str) -> Markup:
    """Text as it is, in a fixed-width face."""
    return Markup(f'<pre tabindex="0"><code>{escape(text)}</code></pre>')  # so that the keyboard can scroll it
