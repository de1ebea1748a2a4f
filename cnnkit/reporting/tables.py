"""Numbers and tables as text, the same in every document that the project writes."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnkit.errors import UserError

if TYPE_CHECKING:  # NumPy would cost a tenth of a second
    from cnnkit.stats.intervals import Summary

_NUMBER = re.compile(r"\*{0,2}([+-]?\d[\d.,]*(e[+-]?\d+)?|-?inf|nan)\*{0,2}([ %].*)?")


def count(n: int) -> str:
    """A whole number with its thousands apart.

    Example:
        >>> count(795010)
        '795,010'
    """
    return f"{n:,}"


def percent(share: float, digits: int = 2, *, signed: bool = False) -> str:
    """A share in percent, with a sign if it is a difference.

    Example:
        >>> percent(0.91234), percent(0.0123, signed=True)
        ('91.23 %', '+1.23 %')
    """
    return f"{100 * share:{'+' if signed else ''}.{digits}f} %"


def accuracy(summary: "Summary") -> str:
    """Mean, standard deviation and number of an accuracy over several runs.

    Example:
        >>> from cnnkit.stats.intervals import Summary
        >>> accuracy(Summary(0.91943, 0.00112, 0.9167, 0.9222, 3)), accuracy(Summary(0.9194, *[float("nan")] * 3, 1))
        ('91.94 ± 0.11 % (n = 3)', '91.94 % (n = 1)')
    """
    if not summary.n:
        return "none"
    spread = f" ± {100 * summary.std:.2f}" if summary.n > 1 else ""
    return f"{100 * summary.mean:.2f}{spread} % (n = {summary.n})"


def extent(size: tuple[float, float]) -> str:
    """Format height and width, one number for a square; what is infinite is all of the image.

    Example:
        >>> extent((5, 5)), extent((3, 5)), extent((math.inf, math.inf))
        ('5', '3x5', 'all')
    """
    words = ["all" if math.isinf(side) else f"{side:g}" for side in size]
    return words[0] if words[0] == words[1] else "x".join(words)


def minutes(seconds: float) -> str:
    """A time in minutes.

    Example:
        >>> minutes(75), minutes(6000)
        ('1.2', '100.0')
    """
    return f"{seconds / 60:,.1f}"


def p_value(p: float) -> str:
    """A p-value as it is read: three digits after the point, or that it is less than they can show.

    Example:
        >>> p_value(0.0312), p_value(1e-9), p_value(float("nan"))
        ('0.031', '< 0.001', 'none')
    """
    if math.isnan(p):
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns as wide as their widest cell, those that hold only numbers set to the right.

    Args:
        lines: a cell a column; a ``|`` in a cell is escaped.

    Example:
        >>> print(markdown_table(["net", "acc"], [["CNN", "0.91"], ["MLP", "0.884"]]))
        | net |   acc |
        |-----|------:|
        | CNN |  0.91 |
        | MLP | 0.884 |
    """
    rows = [[" ".join(cell.split()).replace("|", r"\|") for cell in row] for row in (head, *lines)]
    columns = list(zip(*rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    right = [is_number_column(column[1:]) for column in columns]

    def line(cells: Sequence[str]) -> str:
        placed = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True)]
        return f"| {' | '.join(placed)} |"

    rule = "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True))
    return "\n".join([line(rows[0]), f"|{rule}|", *map(line, rows[1:])])


def is_number_column(cells: Sequence[str]) -> bool:
    """Whether all cells that hold something begin with a number, so that the column belongs to the right.

    Example:
        >>> is_number_column(["91.94 ± 0.11 %", "", "**90 %**"]), is_number_column(["3x3", "1x1"])
        (True, False)
    """
    return any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells if cell)


def replace_between_markers(text: str, name: str, new: str) -> str:
    """A document with what stands between ``<!-- name -->`` and ``<!-- /name -->`` replaced; the markers stay.

    Raises:
        UserError: if not each of the markers is there exactly once, in this order.

    Example:
        >>> print(replace_between_markers("<!-- t --> old <!-- /t -->", "t", "new"))
        <!-- t -->
        new
        <!-- /t -->
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(start) > text.index(end):
        raise UserError(f"the text needs one '{start}' and after it one '{end}', each on its own line: add them")
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{new.strip()}\n{end}{rest.partition(end)[2]}"
