"""A table on a terminal; imports nothing heavy."""

import sys
from collections.abc import Mapping, Sequence


def shown(text: object) -> str:
    """Text without what could write to the terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def print_rows(rows: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, rows), default=0) + 2
    print("\n".join(f"{shown(name):{width}}{shown(value)}" for name, value in rows.items()), flush=True)


def print_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Columns side by side, those of numbers to the right; where there is no terminal, a row is always one line.

    Args:
        lines: a cell a column.
    """
    from rich.console import Console
    from rich.table import Table

    from cnnkit.reporting.tables import is_number_column

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(head):
        numbers = is_number_column([line[place] for line in lines])
        table.add_column(shown(name), justify="right" if numbers else "left", no_wrap=numbers, overflow="fold")
    for line in lines:
        table.add_row(*map(shown, line))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False).print(table)
