"""A page as a browser would take it, and what a self-contained one must not have."""

import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of each kind of tag; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_self_contained(page: Parsed) -> None:
    """Nothing is asked for from outside, nothing runs, links lead to places in the page, pictures have words."""
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "source"}
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert attributes["alt"]
        else:
            assert "src" not in attributes
            assert "srcset" not in attributes
        if "href" in attributes:
            assert attributes["href"].removeprefix("#") in ids
        if tag == "th":
            assert attributes["scope"] in {"col", "row"}
    styles = "".join(page.texts["style"])
    assert "url(" not in styles
    assert "@import" not in styles


def parsed(path: Path) -> Parsed:
    """Read a page and check that it needs nothing else."""
    page = Parsed(path.read_text(encoding="utf-8"))
    check_self_contained(page)
    return page


def figures(page: Parsed) -> dict[str, str]:
    """The figures in large print, by name."""
    return dict(zip(page.texts["dt"], page.texts["dd"], strict=True))


def cells(path: Path, header: str) -> list[list[str]]:
    """The texts of the table whose first heading is this."""
    for table in re.findall(r"<table>.*?</table>", path.read_text(encoding="utf-8"), re.DOTALL):
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in table.split("<tr>")[1:]]
        if rows[0][0] == header:
            return rows[1:]
    raise AssertionError(f"no table of {header}")
