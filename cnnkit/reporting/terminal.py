"""Tables on a terminal; imports nothing heavy."""

import sys
from collections.abc import Collection, Mapping, Sequence

from cnnkit.notices import printable

Cell = str | tuple[str, ...]  # a tuple is several lines


def print_rows(rows: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, rows), default=0) + 2
    print("\n".join(f"{printable(name):{width}}{printable(value)}" for name, value in rows.items()), flush=True)


def print_table(
    head: Sequence[Cell],
    lines: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    numbers: Collection[Cell] = (),
    space: int = 2,
) -> None:
    """Print columns side by side; where there is no terminal, a line of a cell is never wrapped.

    Args:
        head: names of the columns.
        lines: a cell a column.
        title: above the table, which then has a rule below its head.
        numbers: names of columns that go to the right; besides them those in which every cell begins with a number.
        space: characters between two columns.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from cnnkit.reporting.tables import is_number_column

    style = {"title": title, "title_justify": "left", "title_style": "bold", "box": box.SIMPLE} if title else {}
    plain = {"box": None, "pad_edge": False, "padding": (0, space, 0, 0)}
    table = Table(**(style or plain), header_style="bold")
    for place, name in enumerate(head):
        cells = [line[place] for line in lines]
        right = name in numbers or is_number_column([cell if isinstance(cell, str) else cell[0] for cell in cells])
        table.add_column(_join(name), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for line in lines:
        table.add_row(*map(_join, line))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False).print(table)


def _join(cell: Cell) -> str:
    return "\n".join(map(printable, (cell,) if isinstance(cell, str) else cell))
