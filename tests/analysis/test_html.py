"""The page: well-formed, self-contained, and deaf to what names try to tell it."""

from html.parser import HTMLParser

import pytest

from cnnkit.analysis import html
from cnnkit.analysis.html import Section

HOSTILE = "<script>alert(1)</script>\" onerror='x' &amp; <!-- ]]> {0} $x %s"
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


def test_whatever_a_name_is_it_is_text() -> None:
    body = [
        html.paragraph(HOSTILE),
        html.figures({HOSTILE: HOSTILE}),
        html.gallery([html.picture(b"png", HOSTILE, HOSTILE, width=9, kind="pixels")]),
        html.row([html.table([HOSTILE, "n"], [[HOSTILE, 1]], HOSTILE)]),
        html.code(HOSTILE),
    ]
    page = Parsed(html.page(HOSTILE, HOSTILE, body[:1], [Section("one", HOSTILE, body)], HOSTILE))
    check_self_contained(page)
    for tag in ("title", "h1", "h2", "a", "p", "dt", "dd", "figcaption", "caption", "th", "code"):
        assert HOSTILE in page.texts[tag], tag
    assert page.attributes("img")[0]["alt"] == HOSTILE


def test_the_policy_of_the_page_forbids_scripts_and_requests() -> None:
    page = Parsed(html.page("t", "", [], [], ""))
    (policy,) = [
        tag["content"] for tag in page.attributes("meta") if tag.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.split("; ") == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (["1,024", "7"], True),
        (["98.5%", ""], True),
        (["1x2", "3"], False),
        (["nan", "-1e-3"], True),
        (["a", "b"], False),
    ],
)
def test_columns_of_numbers_stand_to_the_right(cells: list[str], number: bool) -> None:
    page = Parsed(html.table(["name", "value"], [["a", cells[0]], ["b", cells[1]]]))
    assert [td.get("class") == "number" for td in page.attributes("td")] == [number, number]
    assert [th.get("class") for th in page.attributes("th")] == [None, "number" if number else None, None, None]


def test_an_empty_table_is_still_a_table() -> None:
    assert Parsed(html.table(["a", "b"], [])).texts["th"] == ["a", "b"]
