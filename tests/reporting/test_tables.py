import pytest

from cnnkit.errors import UserError
from cnnkit.reporting.tables import accuracy, markdown_table, percent, replace_between_markers
from cnnkit.stats.intervals import summarize


def test_a_table_is_aligned_and_numbers_stand_to_the_right() -> None:
    lines = [["**a|b**", "91.94 ± 0.11 %", "3x3"], ["c\nd", "", "5x5"], ["e", "**-1.5**", "1x1"]]
    assert markdown_table(["net", "test/acc", "kernel"], lines).splitlines() == [
        "| net      |       test/acc | kernel |",
        "|----------|---------------:|--------|",
        r"| **a\|b** | 91.94 ± 0.11 % | 3x3    |",
        "| c d      |                | 5x5    |",
        "| e        |       **-1.5** | 1x1    |",
    ]


def test_an_empty_table_has_a_head() -> None:
    assert markdown_table(["a", "b"], []) == "| a   | b   |\n|-----|-----|"


def test_figures_as_they_are_written() -> None:
    assert accuracy(summarize([0.9183, 0.9194, 0.9205])) == "91.94 ± 0.11 % (n = 3)"
    assert accuracy(summarize([0.9194])) == "91.94 % (n = 1)"
    assert accuracy(summarize([])) == "none"
    assert percent(-0.00514, signed=True) == "-0.51 %"


def test_what_stands_between_the_markers_is_replaced_and_nothing_else() -> None:
    text = "# Title\n\n<!-- results -->\nold\n\nold\n<!-- /results -->\n\nEnd <!-- other -->\n"
    new = replace_between_markers(text, "results", "| new |\n")
    assert new == "# Title\n\n<!-- results -->\n| new |\n<!-- /results -->\n\nEnd <!-- other -->\n"
    assert replace_between_markers(new, "results", "| new |\n") == new


@pytest.mark.parametrize(
    "text",
    ["none", "<!-- t -->", "<!-- /t --> <!-- t -->", "<!-- t --> <!-- /t --> <!-- t -->"],
)
def test_a_document_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="<!-- /t -->"):
        replace_between_markers(text, "t", "new")
