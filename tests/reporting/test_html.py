"""The page: well-formed, self-contained, and deaf to what names try to tell it."""

import pytest
from parsed_page import Parsed, check_self_contained

from cnnkit.reporting import html
from cnnkit.reporting.html import Section

HOSTILE = "<script>alert(1)</script>\" onerror='x' &amp; <!-- ]]> {0} $x %s"


def test_whatever_a_name_is_it_is_text() -> None:
    body = [
        html.paragraph(HOSTILE),
        html.figures({HOSTILE: HOSTILE}),
        html.gallery([html.picture(b"png", HOSTILE, HOSTILE, width=9, kind="pixels")]),
        html.row([html.table([HOSTILE, "n"], [[HOSTILE, 1]], HOSTILE)]),
        html.code(HOSTILE),
    ]
    page = Parsed(html.render_page(HOSTILE, HOSTILE, body[:1], [Section("one", HOSTILE, body)], HOSTILE))
    check_self_contained(page)
    for tag in ("title", "h1", "h2", "a", "p", "dt", "dd", "figcaption", "caption", "th", "code"):
        assert HOSTILE in page.texts[tag], tag
    assert page.attributes("img")[0]["alt"] == HOSTILE


def test_the_policy_of_the_page_forbids_scripts_and_requests() -> None:
    page = Parsed(html.render_page("t", "", [], [], ""))
    (policy,) = [
        tag["content"] for tag in page.attributes("meta") if tag.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.split("; ") == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]


def show(block: html.Block) -> Parsed:
    return Parsed(html.render_page("t", "", [], [Section("one", "t", [block])], ""))


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
    page = show(html.table(["name", "value"], [["a", cells[0]], ["b", cells[1]]]))
    assert [td.get("class") == "number" for td in page.attributes("td")] == [number, number]
    assert [th.get("class") for th in page.attributes("th")] == [None, "number" if number else None, None, None]


def test_an_empty_table_is_still_a_table() -> None:
    assert show(html.table(["a", "b"], [])).texts["th"] == ["a", "b"]
